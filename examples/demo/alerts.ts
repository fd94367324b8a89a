import { readFile } from 'node:fs/promises';
import { isJson } from './canonical-json.ts';

/** An alert as its product sent it. */
export interface Alert {
  /** Its line in the file, from 1. */
  readonly line: number;
  readonly product: string;
  /** The JSON text, to the last digit. */
  readonly text: string;
}

/** A file of alerts, or a database, that the demo cannot be run on. */
export class UsageError extends Error {}

const STRING = String.raw`"(?:[^"\\]|\\.)*"`;
const WRAPPER = new RegExp(
  String.raw`^\{"product":(${STRING})(?:,"(?:origin|license)":${STRING})*,"alert":(.*)\}\s*$`,
  's',
);

/**
 * Reads a file of alerts, one a line: bare, or wrapped as `{"product":…,"origin":…,"license":…,"alert":…}`. The alert is cut
 * out of its line, never parsed and printed again, so that nothing of it is lost before it is stored.
 */
export async function readAlerts(path: string): Promise<readonly Alert[]> {
  const alerts: Alert[] = [];
  // not readline: it also splits at U+2028, which JSON allows inside a string
  for (const [index, content] of (await readText(path)).split('\n').entries()) {
    if (content.trim() === '') continue;
    const alert = { line: index + 1, ...unwrap(content) };
    if (!isJson(alert.text)) throw new UsageError(`Line ${alert.line} of ${path} is not JSON`);
    alerts.push(alert);
  }
  if (!alerts.length) throw new UsageError(`There is no alert in ${path}`);
  return alerts;
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause) => {
    throw new UsageError(`Cannot read ${path}`, { cause });
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UsageError(`${path} is not UTF-8`, { cause });
  }
}

function unwrap(line: string): { readonly product: string; readonly text: string } {
  const [, product, text] = WRAPPER.exec(line) ?? [];
  if (product === undefined || text === undefined) return { product: 'unknown', text: line };
  return { product: JSON.parse(product) as string, text };
}
