/** The brokers that docs/fleet.md speaks of, each as its servers on loopback: one mosquitto, two bridged ones, NATS with three servers, ejabberd with two. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, until } from './mosquitto.js';
import { type Program, pathOf } from './program-list.js';
import { type Server, serverOf } from './server.js';

/** With what the tests need of the system. */
export const CLUSTERS = {
  mosquitto: { programs: ['mosquitto'], start: () => startMosquittos(1) },
  'bridged mosquitto': { programs: ['mosquitto'], start: () => startMosquittos(2) },
  NATS: { programs: ['nats'], start: startNats },
  ejabberd: { programs: ['ejabberd'], start: startEjabberd },
} as const satisfies Record<string, { programs: readonly Program[]; start: () => Promise<Cluster> }>;
export type ClusterName = keyof typeof CLUSTERS;

/** How a client comes in. */
export interface Access {
  protocol: '5' | '3.1.1';
  username?: string;
  passwordFile?: string;
}

export interface Cluster extends AsyncDisposable {
  readonly access: Access;
  /** MQTT ports of its servers on 127.0.0.1. */
  readonly ports: readonly number[];
  kill(server: number): Promise<void>;
  /** With what it has on its disk. */
  restart(server: number): Promise<void>;
  /** The server that leads, where there is such a thing. */
  leader(): Promise<number | undefined>;
  /** What is retained on one server the others hand out too: ejabberd's do not, and everybody uses the same one while it is there. */
  readonly sharesState: boolean;
  /** Ports in the order in which a client tries them, beginning with this server. */
  portsFrom(server: number): number[];
  close(): Promise<void>;
}

const PASSWORD = 'secret';

interface ClusterTraits {
  access: Access;
  leader?: () => Promise<number | undefined>;
  sharesState?: boolean;
}

function clusterOf(servers: readonly Server[], folder: string, { sharesState = true, ...traits }: ClusterTraits): Cluster {
  const ports = servers.map(({ port }) => port);
  const close = async () => {
    await Promise.all(servers.map((server) => server.kill()));
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  return {
    ports,
    sharesState,
    portsFrom(server) {
      const begin = sharesState ? server % ports.length : 0;
      return [...ports.slice(begin), ...ports.slice(0, begin)];
    },
    kill: (server) => (servers[server] as Server).kill(),
    restart: (server) => (servers[server] as Server).start(),
    leader: async () => undefined,
    close,
    [Symbol.asyncDispose]: close,
    ...traits,
  };
}

/** Without persistence: what comes back after a death came from the other one. */
async function startMosquittos(count: 1 | 2): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-mosquittos-'));
  const ports = await freePorts(count);
  const servers = ports.map((port, index) => {
    const file = join(folder, `${index}.conf`);
    const bridge = index === 0 ? '' : bridgeTo(ports[0] as number);
    writeFileSync(file, `listener ${port} 127.0.0.1\npersistence false\nallow_anonymous true\nuser root\n${bridge}`);
    return serverOf({ command: pathOf('mosquitto') as string, args: ['-c', file], port });
  });
  for (const server of servers) await server.start();
  return clusterOf(servers, folder, { access: { protocol: '5' } });
}

/** What docs/fleet.md shows, in the order of `changes` made fit for this machine: texts that must be there, and what stands in their place. */
function documented(language: string, changes: Record<string, string>): string {
  const blocks = [...readFileSync('docs/fleet.md', 'utf8').matchAll(/```(\w+)\n([\s\S]*?)```/g)];
  const [first = ''] = Object.keys(changes);
  let text = blocks.find(([, name, block]) => name === language && block?.includes(first))?.[2] ?? '';
  for (const [from, to] of Object.entries(changes)) {
    if (!text.includes(from)) throw new Error(`docs/fleet.md has no ${from} in its ${language}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

function bridgeTo(port: number): string {
  return documented('conf', {
    'address hall-1.example:8883': `address 127.0.0.1:${port}`,
    'bridge_cafile /etc/mosquitto/ca.crt\n': '',
    'restart_timeout 1 30': 'restart_timeout 1 1',
  });
}

async function startNats(): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-nats-'));
  const [mqtt, routes, monitors, clients] = [await freePorts(3), await freePorts(3), await freePorts(3), await freePorts(3)];
  const servers = mqtt.map((port, index) => {
    const file = join(folder, `${index}.conf`);
    const config = documented('nats', {
      'server_name: nats-1': `server_name: nats-${index}`,
      '/var/lib/nats': join(folder, String(index)),
      'port: 1883': `listen: "127.0.0.1:${port}"`,
      'name: fleet, port: 6222': `name: fleet, listen: "127.0.0.1:${routes[index]}"`,
      ...Object.fromEntries(routes.map((route, i) => [`nats://nats-${i + 1}:6222`, `nats://127.0.0.1:${route}`])),
    });
    writeFileSync(file, `listen: "127.0.0.1:${clients[index]}"\nhttp: "127.0.0.1:${monitors[index]}"\n${config}`);
    return serverOf({ command: pathOf('nats-server') as string, args: ['-c', file], port });
  });
  const leader = async () => {
    for (const port of monitors) {
      const name = await fetch(`http://127.0.0.1:${port}/jsz`).then(
        async (response) => ((await response.json()) as { meta_cluster?: { leader?: string } }).meta_cluster?.leader,
        () => undefined,
      );
      if (name) return Number(name.replace('nats-', ''));
    }
    return undefined;
  };
  await Promise.all(servers.map((server) => server.start()));
  await until('the servers have a leader', async () => (await leader()) !== undefined);
  return clusterOf(servers, folder, { access: { protocol: '3.1.1' }, leader });
}

/** Each of them on a loopback address of its own, where all may have the same port: no epmd, which would outlive the tests. */
async function startEjabberd(): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-ejabberd-'));
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
  const [, libraries = ''] = /^ERL_LIBS='(.*)'$/m.exec(readFileSync(pathOf('ejabberdctl') as string, 'utf8')) ?? [];
  const between = await freePort();
  const servers = (await freePorts(2)).map((port, index) => {
    const home = join(folder, String(index));
    mkdirSync(join(home, 'spool'), { recursive: true });
    const config = join(home, 'ejabberd.yml');
    const documentedConfig = documented('yaml', {
      'hosts: [fleet.example]': 'hosts: [localhost]',
      'auth_method: [internal]': 'auth_method: [anonymous]\nanonymous_protocol: login_anon\nallow_multiple_connections: true',
      'port: 1883': `port: ${port}, ip: "127.0.0.1"`,
    });
    writeFileSync(config, documentedConfig);
    const name = (of: number) => `mipha${of}@127.0.0.${of + 1}`;
    const distribution = ['-name', name(index), '-setcookie', 'mipha', '-start_epmd', 'false', '-erl_epmd_port', String(between)];
    const joining =
      index === 0
        ? []
        : [
            '-eval',
            `case mnesia:system_info(running_db_nodes) of [_] -> ejabberd_cluster:join('${name(0)}'); _ -> ok end, file:write_file("joined", <<>>).`,
          ];
    return serverOf({
      command: 'erl',
      args: [
        ...['-noinput', '+S', '1', '+sbwt', 'none', ...distribution],
        ...['-kernel', 'inet_dist_use_interface', `{127,0,0,${index + 1}}`],
        ...['-mnesia', 'dir', JSON.stringify(join(home, 'spool')), '-s', 'ejabberd', ...joining],
      ],
      env: { HOME: home, ERL_LIBS: libraries, EJABBERD_CONFIG_PATH: config, EJABBERD_LOG_PATH: join(home, 'ejabberd.log') },
      cwd: home,
      port,
    });
  });
  for (const server of servers) await server.start();
  await until('the second has joined', () => existsSync(join(folder, '1', 'joined')));
  return clusterOf(servers, folder, { access: { protocol: '5', username: 'mipha', passwordFile }, sharesState: false });
}

/** All different. */
async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
