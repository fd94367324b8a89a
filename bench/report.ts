import type { Measurement, Timing } from './measure.ts';

export interface Report {
  readonly title: string;
  readonly measurements: readonly Measurement[];
}

const HEADER = ['operation', 'raw', 'ours', 'ratio', 'aim', ''];

/** A table for the terminal. */
export function asText({ title, measurements }: Report): string {
  const table = [HEADER, ...measurements.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
  return [title, ...lines.map((line) => line.trimEnd())].join('\n');
}

/** A table for a document. */
export function asMarkdown({ title, measurements }: Report): string {
  const row = (texts: readonly string[]) => `| ${texts.join(' | ')} |`;
  return [
    `**${title}**`,
    '',
    row(HEADER),
    '|---|--:|--:|--:|--:|---|',
    ...measurements.map((one) => row(cells(one))),
  ].join('\n');
}

const cells = ({ name, aim, raw, ours, ratio }: Measurement) => [
  name,
  duration(raw),
  duration(ours),
  ratio.toFixed(2),
  `≤ ${aim.toFixed(1)}`,
  ratio <= aim ? 'ok' : 'over',
];

function duration({ median }: Timing): string {
  if (median < 1) return `${(median * 1000).toFixed(1)} µs`;
  return median < 1000 ? `${median.toFixed(2)} ms` : `${(median / 1000).toFixed(2)} s`;
}
