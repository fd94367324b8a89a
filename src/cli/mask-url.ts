/** A database URL as it may be shown: without the password, also where a parameter holds it. */
export function maskUrl(url: string): string {
  return url.replace(/^(\w+:\/\/[^/?#]*?:)[^/?#]*@/, '$1***@').replace(/([?&][^=&]*password=)[^&#]*/gi, '$1***');
}

/** A text in which such a URL may stand. */
export function maskText(text: string): string {
  return text.replace(/\b(\w+:\/\/[^\s:@]*:)\S*@/g, '$1***@').replace(/(password=)[^&#\s']*/gi, '$1***');
}
