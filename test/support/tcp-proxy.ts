/** A TCP proxy on loopback that can hold, delay and cut what passes: links as robots know them. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { listens } from './server.js';

export type Direction = 'up' | 'down';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections made since the start. */
  readonly connections: number;
  /** Connections open now. */
  readonly open: number;
  /** Swallows bytes of one direction (up: towards the server) or both, while sockets stay open: a half-open link. */
  hold(direction?: Direction): void;
  /** Lets new bytes pass again; swallowed ones stay lost, so connections that were held should be cut. */
  release(): void;
  /** Every chunk of both directions waits this long; 0 turns it off. */
  delay(ms: number): void;
  /** Breaks all connections with a reset. */
  cut(): void;
  /** While true, new connections are reset at once. */
  refuse(refuse: boolean): void;
  /** Sees every chunk before it passes; returning false swallows it. */
  watch(seen: ((direction: Direction, chunk: Buffer) => boolean | undefined) | undefined): void;
  close(): Promise<void>;
}

/** Forwards to 127.0.0.1:`target`; of several, to the first where somebody listens, as one name for all servers of a cluster does. */
export async function startTcpProxy(target: number | readonly number[]): Promise<TcpProxy> {
  const pairs = new Set<{ client: Socket; server: Socket }>();
  const timers = new Set<NodeJS.Timeout>();
  const held: Record<Direction, boolean> = { up: false, down: false };
  let delayMs = 0;
  let refusing = false;
  let connections = 0;
  let seen: ((direction: Direction, chunk: Buffer) => boolean | undefined) | undefined;

  const later = (work: () => void) => {
    if (delayMs === 0) {
      work();
      return;
    }
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, delayMs);
    timers.add(timer);
  };
  const pass = (direction: Direction, from: Socket, to: Socket) => {
    from.on('data', (chunk: Buffer) => {
      if (held[direction] || seen?.(direction, chunk) === false) return;
      later(() => {
        if (!to.destroyed) to.write(chunk);
      });
    });
    from.on('end', () => {
      if (!held[direction]) later(() => to.end());
    });
  };
  const accept = async (client: Socket) => {
    client.on('error', () => {});
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    connections++;
    const port = typeof target === 'number' ? target : await firstOf(target);
    const server = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
    const pair = { client, server };
    pairs.add(pair);
    client.setNoDelay(true);
    server.setNoDelay(true);
    server.on('error', () => client.resetAndDestroy());
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.once('close', () => {
        pairs.delete(pair);
        if (!(held.up || held.down)) other.destroy();
      });
    }
    pass('up', client, server);
    client.resume();
    pass('down', server, client);
  };
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: typeof target !== 'number' }, (client) => void accept(client));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');

  const cut = () => {
    for (const { client, server } of pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
    pairs.clear();
  };
  const close = async () => {
    for (const timer of timers) clearTimeout(timer);
    cut();
    if (!listener.listening) return;
    listener.close();
    await once(listener, 'close');
  };
  return {
    port: (listener.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    get open() {
      return pairs.size;
    },
    hold: (direction) => {
      for (const one of direction === undefined ? (['up', 'down'] as const) : [direction]) held[one] = true;
    },
    release: () => {
      held.up = false;
      held.down = false;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    cut,
    refuse: (refuse) => {
      refusing = refuse;
    },
    watch: (callback) => {
      seen = callback;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function firstOf(ports: readonly number[]): Promise<number> {
  for (const port of ports) if (await listens(port)) return port;
  return ports[0] as number;
}
