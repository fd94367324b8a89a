/** What was measured at one size of one database. */
export interface Series {
  readonly database: string;
  readonly rows: number;
  /** Milliseconds, by what was done. */
  readonly medians: Readonly<Record<string, number>>;
}

const [LEFT, TOP, WIDTH, LINE] = [310, 70, 520, 26] as const;
const [SHORTEST, LONGEST] = [0.03, 3000] as const;
const COLOURS = ['#7aa6c2', '#2f6f9f', '#0b3552'] as const;

const x = (ms: number) =>
  LEFT + (WIDTH * Math.log(Math.min(Math.max(ms, SHORTEST), LONGEST) / SHORTEST)) / Math.log(LONGEST / SHORTEST);
const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const size = (rows: number) => (rows >= 1_000_000 ? `${rows / 1_000_000}M` : `${rows / 1000}k`);

/** An SVG: a line for what was done, a dot for each size of the table, on a logarithmic scale of time. */
export function chart(series: readonly Series[]): string {
  const databases = [...new Set(series.map(({ database }) => database))];
  const sizes = [...new Set(series.map(({ rows }) => rows))].toSorted((a, b) => a - b);
  let y = TOP;
  const parts: string[] = [];
  for (const database of databases) {
    const own = series.filter((one) => one.database === database);
    const names = [...new Set(own.flatMap(({ medians }) => Object.keys(medians)))];
    parts.push(`<text x="10" y="${y}" font-weight="bold">${escaped(database)}</text>`);
    for (const ms of [0.1, 1, 10, 100, 1000])
      parts.push(
        `<line x1="${x(ms)}" x2="${x(ms)}" y1="${y + 8}" y2="${y + 16 + names.length * LINE}" stroke="#ddd"/><text x="${x(ms)}" y="${y}" text-anchor="middle" fill="#777">${ms} ms</text>`,
      );
    for (const [i, name] of names.entries()) {
      const at = y + 28 + i * LINE;
      const dots = own.flatMap(({ rows, medians }) =>
        medians[name] === undefined ? [] : [{ rows, ms: medians[name] }],
      );
      parts.push(`<text x="${LEFT - 10}" y="${at + 4}" text-anchor="end">${escaped(name)}</text>`);
      const ends = dots.map(({ ms }) => x(ms));
      parts.push(`<line x1="${Math.min(...ends)}" x2="${Math.max(...ends)}" y1="${at}" y2="${at}" stroke="#bbb"/>`);
      for (const { rows, ms } of dots)
        parts.push(
          `<circle cx="${x(ms).toFixed(1)}" cy="${at}" r="5" fill="${COLOURS[sizes.indexOf(rows)]}"><title>${size(rows)}: ${ms.toFixed(3)} ms</title></circle>`,
        );
    }
    y += 60 + names.length * LINE;
  }
  const legend = sizes.map(
    (rows, i) =>
      `<circle cx="${LEFT + i * 150}" cy="30" r="5" fill="${COLOURS[i]}"/><text x="${LEFT + 12 + i * 150}" y="34">${size(rows)} incidents</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + 40} ${y}" font-family="sans-serif" font-size="13">
<title>Median times of what a dashboard asks for, by the size of the table</title>
<rect width="100%" height="100%" fill="white"/>
${[...legend, ...parts].join('\n')}
</svg>
`;
}
