import { SingleBar } from 'cli-progress';
import { number, paint } from './terminal.ts';

/** What a phase came to, and how long it took. */
export interface Timed<T> {
  readonly result: T;
  readonly seconds: number;
}

/**
 * Runs a phase under a progress bar; `work` tells how far it is, and a word on it. Where there is no terminal, only the line
 * at its end is printed.
 */
export async function underBar<T>(
  name: string,
  total: number,
  work: (tell: (done: number, note?: string) => void) => Promise<T>,
): Promise<Timed<T>> {
  const progress = new SingleBar({
    format: `  ${name.padEnd(8)} ${paint('cyan', '{bar}')} {value}/{total}  {note}`,
    stream: process.stdout,
    barsize: 36,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
    linewrap: false,
  });
  const start = performance.now();
  let result: T;
  // also when the process is told to end: the terminal is to have its cursor back
  const stop = () => progress.stop();
  process.once('exit', stop);
  progress.start(total, 0, { note: '' });
  try {
    result = await work((done, note = '') => progress.update(done, { note }));
  } finally {
    process.off('exit', stop);
    stop();
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`  ${paint('green', '✓')} ${name.padEnd(8)} ${number(total)} in ${number(seconds, 2)} s`);
  return { result, seconds };
}
