/** A database URL as it may be shown: without the password, also where a parameter holds it. */
export function maskUrl(url: string): string {
  return url.replace(/^(\w+:\/\/[^/?#]*?:)[^/?#]*@/, '$1***@').replace(/([?&][^=&]*password=)[^&#]*/gi, '$1***');
}
