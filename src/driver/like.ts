/** Text → LIKE's pattern for "holds this text", with `\` as the escape. */
export const likePattern = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`;

/** Text → how it stands inside a JSON string, so that a search finds `C:\temp` and quotes. */
export const jsonNeedle = (text: string): string => JSON.stringify(text).slice(1, -1);

/** Folds the case of ASCII letters, and of no others: the one rule that both databases follow. */
export const foldAscii = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
