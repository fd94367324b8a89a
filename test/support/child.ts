import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A script of test/processes/children, running. */
export interface Child {
  readonly process: ChildProcess;
  /** What it has printed so far. */
  output(): string;
  /** Ends when it has printed this. */
  printed(text: string): Promise<void>;
  /** Ends with the process, and answers what it printed; fails when its exit code is not 0. */
  readonly done: Promise<string>;
}

export const runChild = (script: string, ...args: readonly string[]): Child => start([], script, args);

/** The same, with its clock off by this much, such as `+1h`: by Debian's faketime. */
export const runChildAt = (offset: string, script: string, ...args: readonly string[]): Child =>
  start(['faketime', '-f', offset], script, args);

function start(wrapper: readonly string[], script: string, args: readonly string[]): Child {
  const path = fileURLToPath(new URL(`../processes/children/${script}`, import.meta.url));
  const [program = '', ...rest] = [...wrapper, process.execPath, path, ...args];
  const child = spawn(program, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
  });
  let output = '';
  let errors = '';
  const waiting: (() => void)[] = [];
  child.stdout.on('data', (chunk) => {
    output += chunk;
    for (const look of waiting) look();
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const done = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${script} ended with ${code}:\n${errors}`)),
    );
  });
  done.catch(() => {}); // whoever waits for it sees it
  return {
    process: child,
    output: () => output,
    printed: (text) =>
      new Promise((resolve, reject) => {
        const look = () => output.includes(text) && resolve();
        waiting.push(look);
        look();
        done.catch(reject);
      }),
    done,
  };
}
