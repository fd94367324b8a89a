/**
 * A server that speaks as much of PostgreSQL's protocol as postgres.js does, and fails as a script says: what real servers do only now and
 * then. https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export interface Rows {
  readonly rows: readonly (readonly (string | null)[])[];
  readonly tag?: string;
}
export interface Failure {
  readonly severity: 'ERROR' | 'FATAL';
  readonly code: string;
  /** As PgBouncer says it: without the severity that is never translated. */
  readonly isOfPooler?: boolean;
}
/** What a statement gets. `cut`: half a row, and the end. `ignore`: nothing, for ever. */
export type Answer = Rows | Failure | 'close' | 'cut' | 'ignore';
/** What a new connection gets. `silence`: nothing, for ever. */
export type Welcome = 'accept' | 'close' | 'silence' | Failure;

export interface Script {
  readonly welcome?: (connection: number) => Welcome;
  /** Whether a request to cancel is taken; else its connection is reset. */
  readonly cancel?: () => boolean | Promise<boolean>;
  /** Undefined: no rows. */
  readonly answer?: (sql: string, connection: number) => Answer | undefined | Promise<Answer | undefined>;
}

export const fatal = (code: string): Failure => ({ severity: 'FATAL', code });

const int16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255]);
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string) => Buffer.from(`${value}\0`);
function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}
const failure = ({ severity, code, isOfPooler }: Failure) =>
  message(
    'E',
    ...[`S${severity}`, ...(isOfPooler ? [] : [`V${severity}`]), `C${code}`, 'Mthe script says so'].map(text),
    Buffer.from([0]),
  );
const READY = message('Z', Buffer.from('I'));
const TEXT = 25;
const columns = (count: number) =>
  message(
    'T',
    int16(count),
    ...Array.from({ length: count }, (_, i) =>
      Buffer.concat([text(`c${i}`), int32(0), int16(0), int32(TEXT), int16(-1), int32(-1), int16(0)]),
    ),
  );
const dataRow = (row: readonly (string | null)[]) =>
  message(
    'D',
    int16(row.length),
    ...row.map((value) =>
      value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
    ),
  );

export class ScriptedServer {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  script: Script;
  /** Connections that were begun so far, without those that cancel. */
  connections = 0;
  cancels = 0;
  readonly statements: string[] = [];

  constructor(script: Script = {}) {
    this.script = script;
  }

  get url(): string {
    return `postgres://u:p@127.0.0.1:${this.#port}/d`;
  }

  get port(): number {
    return this.#port;
  }

  /** Open sockets. */
  get open(): number {
    return this.#sockets.size;
  }

  async start(): Promise<this> {
    this.#server = createServer((socket) => this.#serve(socket)).listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Nothing listens any more; what is connected stays so. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Nothing listens any more, and all connections are gone. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    const prepared = new Map<string, string>();
    let connection = 0;
    let sql = '';
    let isMute = false;
    let buffer = Buffer.alloc(0);
    let work = Promise.resolve();

    const answered = async (statement: string): Promise<Answer> => {
      this.statements.push(statement);
      const given = await this.script.answer?.(statement, connection);
      if (given) return given;
      if (/pg_is_in_recovery/.test(statement)) return { rows: [['f', 'f']] };
      const tag = /^\s*(begin|commit|rollback|savepoint|release)/i.exec(statement)?.[1]?.toUpperCase();
      return { rows: [], ...(tag ? { tag } : {}) };
    };
    /** False where no more comes. */
    const deliver = (answer: Answer, described: boolean): boolean => {
      if (answer === 'ignore') return false;
      if (answer === 'close') {
        socket.destroy();
        return false;
      }
      if (answer === 'cut') {
        socket.end(dataRow(['half of this row is missing']).subarray(0, 12));
        return false;
      }
      if ('code' in answer) {
        socket.write(failure(answer));
        if (answer.severity === 'FATAL') socket.end();
        return answer.severity !== 'FATAL';
      }
      const { rows, tag = `SELECT ${rows.length}` } = answer;
      const head = described || !rows[0] ? [] : [columns(rows[0].length)];
      socket.write(Buffer.concat([...head, ...rows.map(dataRow), message('C', text(tag))]));
      return true;
    };

    const startup = (body: Buffer): void => {
      const code = body.readInt32BE(0);
      if (code === 80877103) {
        socket.write('N');
        return;
      }
      if (code === 80877102) {
        this.cancels++;
        void Promise.resolve(this.script.cancel?.()).then((isTaken) => {
          if (isTaken === false) socket.resetAndDestroy();
          else socket.end();
        });
        return;
      }
      connection = ++this.connections;
      const welcome = this.script.welcome?.(connection) ?? 'accept';
      if (welcome === 'silence') return;
      if (welcome === 'close') socket.destroy();
      else if (welcome === 'accept')
        socket.write(Buffer.concat([message('R', int32(0)), message('K', int32(connection), int32(4711)), READY]));
      else socket.end(failure(welcome));
    };

    const handle = async (type: string, body: Buffer): Promise<void> => {
      const string = (from: number) => body.toString('utf8', from, body.indexOf(0, from));
      switch (type) {
        case 'Q':
          if (deliver(await answered(string(0)), false)) socket.write(READY);
          return;
        case 'P': {
          const name = string(0);
          prepared.set(name, string(name.length + 1));
          socket.write(message('1'));
          return;
        }
        case 'D': {
          sql = prepared.get(string(1)) ?? '';
          const params = new Set(sql.match(/\$\d+/g)).size;
          // the script's rows are not known yet: as many columns as it will send for this statement
          const answer = await this.script.answer?.(`describe ${sql}`, connection);
          const width = typeof answer === 'object' && 'rows' in answer ? (answer.rows[0]?.length ?? 0) : 0;
          socket.write(
            Buffer.concat([
              message('t', int16(params), ...Array.from({ length: params }, () => int32(TEXT))),
              width ? columns(width) : message('n'),
            ]),
          );
          return;
        }
        case 'B':
          sql = prepared.get(string(body.indexOf(0) + 1)) ?? '';
          socket.write(message('2'));
          return;
        case 'E':
          isMute = !deliver(await answered(sql), true);
          return;
        case 'S':
          if (!isMute) socket.write(READY);
          return;
        case 'X':
          socket.end();
      }
    };

    socket.on('data', (chunk) => {
      buffer = Buffer.concat([buffer, chunk]);
      for (;;) {
        const isStartup = connection === 0;
        const at = isStartup ? 0 : 1;
        if (buffer.length < at + 4) return;
        const length = buffer.readInt32BE(at);
        if (buffer.length < at + length) return;
        const type = isStartup ? '' : buffer.toString('utf8', 0, 1);
        const body = buffer.subarray(at + 4, at + length);
        buffer = buffer.subarray(at + length);
        if (isStartup) startup(body);
        else work = work.then(() => handle(type, body));
      }
    });
  }
}
