/** Text → LIKE's pattern for "holds this text", with `\` as the escape. */
export const likePattern = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`;

/** Text → how it stands inside a JSON string, so that a search finds `C:\temp` and quotes. */
export const jsonNeedle = (text: string): string => JSON.stringify(text).slice(1, -1);
