/**
 * Whether two names may be those of one person: where two people must be two. Stricter than the names of accounts: no case, no width, no form of a
 * letter and no character that does not show tells two names apart. Spaces inside a name do.
 */
export const isSamePerson = (a: string, b: string): boolean => folded(a) === folded(b);

const folded = (name: string) =>
  name
    .normalize('NFKC')
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, '')
    .toUpperCase() // ß is SS, and ς Σ
    .toLowerCase()
    .normalize('NFKC')
    .replaceAll('ς', 'σ')
    .trim();
