/** The widest line that is printed. */
export const WIDTH = 100;

const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36, grey: 90, bold: 1 } as const;
export type Colour = keyof typeof COLOURS;

const coloured = process.stdout.isTTY === true && !process.env.NO_COLOR;

export const paint = (colour: Colour, text: string): string =>
  coloured ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of at most `width` characters, to an eighth of one; whatever is more than nothing can be seen. */
export function bar(share: number, width: number): string {
  const eighths = share > 0 ? Math.max(Math.round(share * width * 8), 1) : 0;
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
}

export const number = (value: number, digits = 0): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** What fits in `width` characters, with an ellipsis where something is left out. */
export function clip(text: string, width: number): string {
  const characters = [...text];
  return characters.length > width ? `${characters.slice(0, width - 1).join('')}…` : text;
}
