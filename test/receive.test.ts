import { expect, it } from 'vitest';
import type { Driver, Query, Result } from '../src/driver/port.ts';
import { receiveRows } from '../src/driver/receive.ts';
import { DecodeError } from '../src/errors.ts';

const query: Query = { sql: 'select', params: [], reads: true };
/** Answers each of these lists of rows in turn, as a driver does that begins again elsewhere. */
const driverOf = (...attempts: readonly (readonly unknown[])[][]): Pick<Driver, 'exec'> => ({
  exec: async ({ receive }): Promise<Result> => {
    for (const rows of attempts) {
      const take = receive?.();
      for (const row of rows) take?.(row);
    }
    return { rows: [], count: 0 };
  },
});

it('counts no row twice that came before a read was made again', async () => {
  const { items } = await receiveRows(driverOf([['a'], ['b']], [['a'], ['b'], ['c']]) as Driver, query, ([id]) => id);
  expect(items).toEqual(['a', 'b', 'c']);
});

it('decodes no more than the limit, tells whether there is more, and fails after the last row only', async () => {
  const bad = new DecodeError('t', 'c', null, 'is bad');
  const decode = ([id]: readonly unknown[]) => {
    if (id === 'bad') throw bad;
    return id;
  };
  const some = await receiveRows(driverOf([['a'], ['b'], ['bad']]) as Driver, query, decode, 2);
  expect([some.items, some.last, some.hasMore]).toEqual([['a', 'b'], ['b'], true]);
  await expect(receiveRows(driverOf([['bad'], ['a']]) as Driver, query, decode)).rejects.toBe(bad);
});
