/** Folds the case of ASCII letters, and of no others: the one rule that both databases follow. */
export const foldAscii = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
