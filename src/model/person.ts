/**
 * Whether two names may be those of one person: where two people must be two. Stricter than the names of accounts: names that differ only in case,
 * width, the form of a letter or characters that do not show are the same. Spaces inside a name count.
 */
export const isSamePerson = (a: string, b: string): boolean => folded(a) === folded(b);

const folded = (name: string) =>
  name
    .normalize('NFKC')
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/gu, '') // U+2800: Braille without a dot
    .toUpperCase() // ß is SS, and ς Σ
    .toLowerCase()
    .normalize('NFKC')
    .replaceAll('ς', 'σ')
    .trim();
