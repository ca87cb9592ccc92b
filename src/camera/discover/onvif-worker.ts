/** Asks a network for ONVIF cameras, and each for its streams. Runs as a thread of onvif.ts; what it finds goes there one by one. */
import type { RemoteInfo } from 'node:dgram';
import { parentPort, workerData } from 'node:worker_threads';
import onvif from 'onvif';
import { type OnvifCamera, type OnvifStream, plain } from './found.js';
import type { FromOnvif, OnvifTask } from './onvif.js';

const { interfaces, hosts, login, probeMs, requestMs } = workerData as OnvifTask;
const MOST_CAMERAS = 256;
const MOST_STREAMS = 8;

const known = new Set<string>();
const asking: Promise<void>[] = [];

const post = (message: FromOnvif) => parentPort?.postMessage(message);
process.on('uncaughtException', (error) => post({ problem: `a device sent what cannot be read: ${plain(error.message)}` }));

onvif.Discovery.on('error', () => {}); // somebody sent something else
onvif.Discovery.on('device', (data: Probed, from: RemoteInfo) => {
  const match = data.probeMatches?.probeMatch;
  for (const probed of Array.isArray(match) ? match : [match]) if (probed !== undefined) begin(serviceAt(probed, from.address), probed.scopes);
});

interface Probed {
  probeMatches?: { probeMatch?: ProbeMatch | ProbeMatch[] };
}
interface ProbeMatch {
  XAddrs?: unknown;
  scopes?: unknown;
}
interface Service {
  hostname: string;
  port: number;
  path: string;
}

/** The service at the address that answered: a login must not go where somebody merely points. */
function serviceAt({ XAddrs }: ProbeMatch, address: string): Service {
  const urls = String(XAddrs ?? '')
    .split(/\s+/)
    .flatMap((text) => (URL.canParse(text) ? [new URL(text)] : []));
  const own = urls.find(({ hostname, protocol }) => hostname === address && protocol === 'http:');
  return { hostname: address, port: Number(own?.port) || 80, path: own?.pathname ?? '/onvif/device_service' };
}

function begin(service: Service, scopes: unknown): void {
  const key = `${service.hostname}:${service.port}`;
  if (known.has(key) || known.size >= MOST_CAMERAS) return;
  known.add(key);
  asking.push(ask(service, scopeWords(scopes)).then((camera) => post({ camera })));
}

/** Of "onvif://www.onvif.org/name/Front%20door onvif://www.onvif.org/hardware/IPC-1". */
function scopeWords(scopes: unknown): { name: string | null; hardware: string | null } {
  const word = (what: string) => {
    const found = new RegExp(`onvif://www\\.onvif\\.org/${what}/(\\S+)`, 'i').exec(String(scopes ?? ''))?.[1];
    if (found === undefined) return null;
    try {
      return plain(decodeURIComponent(found)) || null;
    } catch {
      return plain(found);
    }
  };
  return { name: word('name'), hardware: word('hardware') };
}

async function ask({ hostname, port, path }: Service, scopes: { name: string | null; hardware: string | null }): Promise<OnvifCamera> {
  const camera: OnvifCamera = {
    kind: 'onvif',
    address: port === 80 ? hostname : `${hostname}:${port}`,
    name: scopes.name ?? scopes.hardware ?? hostname,
    hardware: scopes.hardware,
    streams: [],
    problem: null,
    needsLogin: false,
  };
  const warnings: string[] = [];
  try {
    const options = { hostname, port, path, timeout: requestMs, preserveAddress: true, autoconnect: false };
    const device = new onvif.Cam(login === null ? options : { ...options, username: login.user, password: login.password });
    device.on('warning', (words: unknown) => warnings.push(String(words)));
    await new Promise<void>((resolve, reject) => device.connect((error) => (error ? reject(error) : resolve())));
    if (warnings.length > 0) throw new Error(warnings[0]);
    if (scopes.name === null) Object.assign(camera, namedBy(scopeWords(await scopesOf(device)), camera));
    const streams = await Promise.all((device.profiles ?? []).slice(0, MOST_STREAMS).map((profile) => streamOf(device, profile)));
    camera.streams = unique(streams.filter((stream) => stream !== null)).sort((a, b) => pixels(b) - pixels(a));
    if (camera.streams.length === 0) camera.problem = 'it names no RTSP stream';
  } catch (error) {
    const words = plain((error as Error).message || error);
    camera.needsLogin = /authori[sz]|authenticat|\b401\b|credential/i.test(words);
    camera.problem = camera.needsLogin ? (login === null ? 'it asks for a login' : 'it refuses this login') : words;
  }
  return camera;
}

/** For who was named, and so has answered no probe. */
function scopesOf(device: InstanceType<typeof onvif.Cam>): Promise<string> {
  return new Promise((resolve) =>
    device.getScopes((error: Error | null, scopes: { scopeItem?: unknown }[] = []) =>
      resolve(error ? '' : scopes.map(({ scopeItem }) => String(scopeItem)).join(' ')),
    ),
  );
}

function namedBy({ name, hardware }: ReturnType<typeof scopeWords>, camera: OnvifCamera): Partial<OnvifCamera> {
  return { name: name ?? hardware ?? camera.name, hardware };
}

function streamOf(device: InstanceType<typeof onvif.Cam>, profile: Profile): Promise<OnvifStream | null> {
  return new Promise((resolve, reject) => {
    const token = profile.$?.token ?? profile.token;
    device.getStreamUri({ protocol: 'RTSP', profileToken: String(token) }, (error: Error | null, data?: { uri?: unknown }) => {
      if (error) return reject(error);
      const uri = withoutLogin(data?.uri);
      if (uri === null) return resolve(null);
      const encoder = profile.videoEncoderConfiguration ?? profile.configurations?.videoEncoder;
      resolve({
        uri,
        profile: plain(profile.name ?? token),
        encoding: encoder?.encoding === undefined ? null : plain(encoder.encoding),
        width: size(encoder?.resolution?.width),
        height: size(encoder?.resolution?.height),
      });
    });
  });
}

interface Profile {
  $?: { token?: unknown };
  token?: unknown;
  name?: unknown;
  videoEncoderConfiguration?: Encoder;
  configurations?: { videoEncoder?: Encoder };
}
interface Encoder {
  encoding?: unknown;
  resolution?: { width?: unknown; height?: unknown };
}

function withoutLogin(uri: unknown): string | null {
  if (typeof uri !== 'string' || !/^rtsps?:\/\//.test(uri) || !URL.canParse(uri) || plain(uri, 2000) !== uri) return null;
  const url = new URL(uri);
  url.username = '';
  url.password = '';
  return url.href;
}

function size(value: unknown): number | null {
  return Number.isInteger(value) && (value as number) > 0 ? (value as number) : null;
}

function pixels({ width, height }: OnvifStream): number {
  return (width ?? 0) * (height ?? 0);
}

function unique(streams: OnvifStream[]): OnvifStream[] {
  return streams.filter(({ uri }, i) => streams.findIndex((other) => other.uri === uri) === i);
}

for (const { hostname, port } of hosts) begin({ hostname, port, path: '/onvif/device_service' }, undefined);
await Promise.all(
  interfaces.map((device) => new Promise<void>((resolve) => onvif.Discovery.probe({ device, timeout: probeMs, resolve: false }, () => resolve()))),
);
await Promise.allSettled(asking);
post({ done: true });
