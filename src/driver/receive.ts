import type { RowDecoder } from './decode.ts';
import type { Driver, Query } from './port.ts';

/** The rows of a query, decoded as they come: of the first `limit`. */
class Arrived<Row> {
  readonly items: Row[] = [];
  /** The last of them, as the database answered it. */
  last: readonly unknown[] | undefined;
  /** One came that is beyond the limit. */
  hasMore = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly decode: RowDecoder<Row>,
    private readonly limit = Number.POSITIVE_INFINITY,
  ) {}

  readonly take = (row: readonly unknown[]): void => {
    if (this.items.length === this.limit) this.hasMore = true;
    else if (!this.#failure)
      try {
        this.items.push(this.decode(row));
        this.last = row;
      } catch (error) {
        this.#failure = { error }; // not thrown into the driver: it is no failure of the statement
      }
  };

  /** @throws DecodeError where a row could not be decoded. */
  check(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

/**
 * Runs a query and decodes its first `limit` rows while others still arrive.
 *
 * @throws DecodeError where one of them cannot be decoded.
 */
export async function receiveRows<Row>(
  driver: Driver,
  query: Query,
  decode: RowDecoder<Row>,
  limit?: number,
): Promise<Arrived<Row>> {
  let arrived = new Arrived(decode, limit);
  const receive = () => {
    arrived = new Arrived(decode, limit);
    return arrived.take;
  };
  await driver.exec({ ...query, receive });
  arrived.check();
  return arrived;
}
