/** The store under real Express and real Fastify, with a real HTTP client. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fastifyCookie from '@fastify/cookie';
import fastifySession from '@fastify/session';
import express from 'express';
import session from 'express-session';
import fastify from 'fastify';
import { expect, it } from 'vitest';
import { SessionStore } from '../../src/interop/express-session.ts';
import type { Store } from '../../src/store.ts';
import { contract } from '../support/contract.ts';

declare module 'express-session' {
  interface SessionData {
    count: number;
    user: string;
  }
}

const SECRET = 'a secret of at least thirty-two characters';

/** Calls a method of a session store, which takes a callback. */
const call = <Value>(start: (callback: (error: unknown, value?: Value) => void) => void) =>
  new Promise<Value | undefined>((resolve, reject) =>
    start((error, value) => (error ? reject(error) : resolve(value ?? undefined))),
  );

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A browser: it keeps its cookie. */
function browser(base: string) {
  let cookie = '';
  return async (path: string) => {
    const response = await fetch(`${base}${path}`, { headers: cookie ? { cookie } : {} });
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie;
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
}

async function expressApp(store: Store, options: { prefix: string; maxAge?: number }) {
  const sessions = new SessionStore(store, { prefix: options.prefix });
  const app = express();
  app.use(
    session({
      store: sessions,
      secret: SECRET,
      resave: false,
      saveUninitialized: false,
      cookie: options.maxAge ? { maxAge: options.maxAge } : {},
    }),
  );
  app.get('/count', (request, response) => {
    request.session.count = (request.session.count ?? 0) + 1;
    response.json({ count: request.session.count });
  });
  app.get('/read', (request, response) => {
    response.json({ count: request.session.count ?? null });
  });
  app.get('/login', (request, response) => {
    request.session.regenerate((error) => {
      request.session.user = 'alice';
      response.json({ error: error ?? null, id: request.sessionID });
    });
  });
  app.get('/logout', (request, response) => {
    request.session.destroy((error) => response.json({ error: error ?? null }));
  });
  app.use(((error, _request, response, _next) => {
    response.status(500).json({ message: String(error.message) });
  }) as express.ErrorRequestHandler);
  const server = createServer(app);
  return {
    sessions,
    base: await listening(server),
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

contract('the store of express-session', (subject) => {
  it('keeps the sessions of browsers apart, from request to request, until they log out', async () => {
    const { store } = subject();
    const app = await expressApp(store, { prefix: 'a:' });
    const [one, other] = [browser(app.base), browser(app.base)];
    for (let i = 1; i <= 3; i++) expect((await one('/count')).body).toEqual({ count: i });
    expect((await other('/count')).body).toEqual({ count: 1 });
    expect((await one('/read')).body).toEqual({ count: 3 });
    expect(await call<number>((done) => app.sessions.length(done))).toBe(2);
    const all = await call<Record<string, { count: number }>>((done) => app.sessions.all(done as never));
    expect(
      Object.values(all ?? {})
        .map(({ count }) => count)
        .sort(),
    ).toEqual([1, 3]);

    const { body } = await one('/login');
    expect(body.error).toBeNull();
    expect((await one('/read')).body).toEqual({ count: null }); // a new session, under a new id
    expect((await store.sessions.load(`a:${body.id}`))?.data.length).toBeGreaterThan(10);
    expect((await one('/logout')).body).toEqual({ error: null });
    expect((await one('/read')).body).toEqual({ count: null });
    expect(await call<number>((done) => app.sessions.length(done))).toBe(1);

    // others who share the table are left alone
    await store.sessions.create({ id: 'other', data: Uint8Array.of(1), expiryDate: new Date(Date.now() + 60_000) });
    await call((done) => app.sessions.clear(done));
    expect(await call<number>((done) => app.sessions.length(done))).toBe(0);
    expect(await store.sessions.load('other')).not.toBeNull();
    await app.close();
  });

  it('serves many requests at once', async () => {
    const { store } = subject();
    const app = await expressApp(store, { prefix: 'b:' });
    const browsers = Array.from({ length: 20 }, () => browser(app.base));
    await Promise.all(browsers.map((visit) => visit('/count')));
    await Promise.all(browsers.flatMap((visit) => [visit('/read'), visit('/read'), visit('/read')]));
    const counts = await Promise.all(browsers.map(async (visit) => (await visit('/count')).body.count));
    expect(counts).toEqual(browsers.map(() => 2));
    expect(await call<number>((done) => app.sessions.length(done))).toBe(20);
    await app.close();
  });

  it('lets sessions live as long as their cookie, and longer with every request', async () => {
    const { store, backend } = subject();
    const own = await backend.create();
    let now = Date.now();
    const clocked = await own.open({ now: () => new Date(now) });
    const app = await expressApp(clocked, { prefix: 'c:', maxAge: 3_600_000 });
    const visit = browser(app.base);
    await visit('/count');
    const expiry = async () => (await clocked.sessions.list()).items[0]?.expiryDate as number;
    const first = await expiry();
    expect(Math.abs(first - (Date.now() / 1000 + 3600))).toBeLessThan(5);
    await clocked.sessions.touch((await clocked.sessions.list()).items[0]?.id ?? '', first - 1800);
    await visit('/read'); // unchanged: touched
    expect(await expiry()).toBeGreaterThanOrEqual(first);
    now += 4_000_000;
    expect((await visit('/read')).body).toEqual({ count: null });
    expect(await clocked.sessions.deleteExpired()).toBe(1);
    await app.close();
    await own.drop();
    expect(store.dialect).toBe(backend.dialect);
  });

  it('hands failures over to Express, and crashes nothing', async () => {
    const { backend } = subject();
    const own = await backend.create();
    const closed = await own.open();
    const app = await expressApp(closed, { prefix: 'd:' });
    const visit = browser(app.base);
    await visit('/count');
    const [id] = (await closed.sessions.list()).items.map((row) => row.id);
    for (const text of ['no json', '{"a":1}', 'null', '{"cookie":null}']) {
      await closed.sessions.save({
        id: id as string,
        data: Buffer.from(text),
        expiryDate: new Date(Date.now() + 60_000),
      });
      const { status, body } = await visit('/read');
      expect([status, body.message]).toEqual([500, expect.stringContaining('is not a session of express-session')]);
      await expect(call((done) => app.sessions.load((id as string).slice(2), done as never))).rejects.toMatchObject({
        code: 'decode',
      });
    }
    await closed.close();
    expect((await visit('/read')).status).toBe(500);
    for (const start of [
      (done: never) => app.sessions.set('x', { cookie: {} } as never, done),
      (done: never) => app.sessions.destroy('x', done),
      (done: never) => app.sessions.clear(done),
      (done: never) => app.sessions.length(done),
      (done: never) => app.sessions.all(done),
    ])
      await expect(call(start as never)).rejects.toMatchObject({ code: 'closed' });
    await app.close();
    await own.drop();
  });

  it('does what express-session asks of a store: set, get, touch, destroy, beyond any date', async () => {
    const { store } = subject();
    const sessions = new SessionStore(store, { prefix: 'e:', ttlMs: 60_000 });
    const data = (cookie: object) => ({ cookie, user: 'ü \0' }) as never;
    await call((done) => sessions.set('s', data({ originalMaxAge: null }), done));
    expect(await call((done) => sessions.get('s', done as never))).toEqual(data({ originalMaxAge: null }));
    const { expiryDate } = await store.sessions.get('e:s');
    expect(Math.abs(expiryDate - Date.now() / 1000 - 60)).toBeLessThan(5);
    await call((done) => sessions.touch('s', data({ expires: new Date(8e15) }), done as never));
    expect((await store.sessions.get('e:s')).expiryDate).toBe(253_402_300_799);
    await call((done) => sessions.touch('gone', data({}), done as never));
    await call((done) => sessions.set('s', data({ expires: new Date(0) }), done)); // expired already
    expect(await call((done) => sessions.get('s', done as never))).toBeUndefined();
    sessions.set('fire', data({})); // without a callback
    await expect.poll(() => store.sessions.load('e:fire')).not.toBeNull();
    sessions.destroy('fire');
    await expect.poll(() => store.sessions.load('e:fire')).toBeNull();
    expect(() => new SessionStore(store, { ttl: 5 } as never)).toThrow(expect.objectContaining({ code: 'validation' }));
  });

  it('serves Fastify as well', async () => {
    const { store } = subject();
    const app = fastify();
    await app.register(fastifyCookie);
    await app.register(fastifySession, {
      secret: SECRET,
      store: new SessionStore(store, { prefix: 'f:' }) as never,
      cookie: { secure: false, maxAge: 60_000 },
      saveUninitialized: false,
    });
    app.get('/count', async (request) => {
      const current = request.session as unknown as { count?: number };
      current.count = (current.count ?? 0) + 1;
      return { count: current.count };
    });
    app.get('/logout', async (request) => {
      await request.session.destroy();
      return { done: true };
    });
    const base = await app.listen({ host: '127.0.0.1', port: 0 });
    const visit = browser(base);
    for (let i = 1; i <= 3; i++) expect((await visit('/count')).body).toEqual({ count: i });
    expect(await store.sessions.count({ idPrefix: 'f:' })).toBe(1);
    await visit('/logout');
    expect(await store.sessions.count({ idPrefix: 'f:' })).toBe(0);
    await app.close();
  });
});
