/** ONVIF cameras of the networks of this machine: found by WS-Discovery, their streams asked for (ONVIF Core and Media specifications). */
import { networkInterfaces } from 'node:os';
import { Worker } from 'node:worker_threads';
import { nearestKey, optionError } from '../../errors.js';
import type { OnvifCamera } from './found.js';

export interface OnvifOptions {
  /** Networks to ask, by the names of their interfaces. Default: all with an IPv4 address, loopback left out. */
  interfaces?: string[] | undefined;
  /** Ask these instead of the networks: `192.168.1.20` or `192.168.1.20:8000`. */
  hosts?: string[] | undefined;
  login?: { user: string; password: string } | undefined;
  /** How long to wait for answers to the probe. Default 3000. */
  probeMs?: number | undefined;
  /** Of each request to a camera. Default 5000. */
  requestMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface OnvifTask {
  interfaces: string[];
  hosts: { hostname: string; port: number }[];
  login: { user: string; password: string } | null;
  probeMs: number;
  requestMs: number;
}
export type FromOnvif = { camera: OnvifCamera } | { problem: string } | { done: true };

export interface OnvifResult {
  cameras: OnvifCamera[];
  /** What went wrong with devices that are not in the list. */
  problems: string[];
}

/** A camera is asked four or five things, one after the other. */
const REQUESTS = 6;
const MOST_MB = 128;
const MOST_PROBLEMS = 20;
/** Where sources are run as they are, which only tests do, the thread is that of dist: it has no loader for sources. */
const PROGRAM = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/camera/discover/onvif-worker.js' : './onvif-worker.js', import.meta.url);

/** Throws ERR_OPTION for an interface or a host that is none; otherwise whatever devices send, there is a result, in bounded time. */
export async function onvifCameras(options: OnvifOptions = {}): Promise<OnvifResult> {
  const { login = null, probeMs = 3000, requestMs = 5000, signal } = options;
  if (login !== null) checkLogin(login);
  const hosts = (options.hosts ?? []).map(hostOf);
  const interfaces = hosts.length > 0 ? [] : interfacesOf(options.interfaces);
  const task: OnvifTask = { interfaces, hosts, login, probeMs, requestMs };
  const result: OnvifResult = { cameras: [], problems: [] };
  if (hosts.length === 0 && interfaces.length === 0) return result;
  const worker = new Worker(PROGRAM, { workerData: task, resourceLimits: { maxOldGenerationSizeMb: MOST_MB }, stdout: true, stderr: true });
  try {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(resolve, probeMs + REQUESTS * requestMs);
      worker.on('message', (message: FromOnvif) => {
        if ('camera' in message) result.cameras.push(message.camera);
        else if ('problem' in message) result.problems.push(message.problem);
        else resolve();
      });
      worker.on('error', (error) => {
        result.problems.push(`the search broke off: ${error.message}`);
        resolve();
      });
      worker.on('exit', () => {
        clearTimeout(late);
        resolve();
      });
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      signal?.throwIfAborted();
    });
  } finally {
    await worker.terminate();
  }
  result.problems.splice(MOST_PROBLEMS);
  result.cameras.sort((a, b) => a.address.localeCompare(b.address, 'en', { numeric: true }));
  return result;
}

/** The `onvif` package writes names into XML as they are, and takes passwords for ASCII. */
function checkLogin({ user, password }: { user: string; password: string }): void {
  if (!/^[ -~]+$/.test(user) || /[<>&]/.test(user)) throw optionError('user', 'a name of ASCII characters without <, > and &', user);
  if (!/^[ -~]+$/.test(password)) throw optionError('password', 'ASCII characters, as nothing else can be sent to a camera', '(hidden)');
}

function interfacesOf(wanted: string[] | undefined): string[] {
  const all = Object.entries(networkInterfaces()).filter(([, addresses]) => addresses?.some(({ family }) => family === 'IPv4'));
  const names = all.map(([name]) => name);
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw optionError('interface', `one of ${names.join(', ')}`, unknown, nearestKey(unknown, names));
  return wanted ?? all.filter(([, addresses]) => addresses?.some(({ internal }) => !internal)).map(([name]) => name);
}

function hostOf(text: string): { hostname: string; port: number } {
  const match = /^([a-z0-9.-]+|\[[0-9a-f:]+\])(?::(\d{1,5}))?$/i.exec(text);
  const port = Number(match?.[2] ?? 80);
  if (match === null || port < 1 || port > 65_535) throw optionError('host', 'an address such as 192.168.1.20 or camera.local:8000', text);
  return { hostname: (match[1] as string).replace(/^\[|\]$/g, ''), port };
}
