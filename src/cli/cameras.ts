import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { type FoundCamera, idsFor, type OnvifCamera, type OnvifStream } from '../camera/discover/found.js';
import { localCameras } from '../camera/discover/local.js';
import { onvifCameras } from '../camera/discover/onvif.js';
import { MiphaError, optionError } from '../errors.js';
import { redactor } from '../redact.js';
import { interruption } from './failure.js';
import { notes, print, printJson } from './output.js';

interface CamerasCommand {
  network: boolean;
  interface: string[];
  host: string[];
  user?: string;
  passwordFile?: string;
  wait: number;
  json?: boolean;
}

/** Enough for every model's picture, and cheaper to decode than what a recorder wants. */
const ENOUGH_PX = 640;

const collect = (text: string, earlier: string[]) => [...earlier, text];

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.1 && value <= 60)) throw new InvalidArgumentError('Expected seconds from 0.1 to 60.');
  return value;
}

export function addCameras(program: Command): void {
  program
    .command('cameras')
    .description('Which cameras there are: on this machine and, by ONVIF, on its networks; as the part of a configuration that they become.')
    .option('--no-network', 'only those of this machine')
    .option('--interface <name>', 'ask this network, e.g. eth0, as often as needed; default: all', collect, [])
    .option('--host <address>', 'ask this camera, e.g. 192.168.1.20, as often as needed', collect, [])
    .option('--user <name>', 'login at the network cameras, to ask for their streams')
    .option('--password-file <file>', 'the password to it')
    .option('--wait <seconds>', 'for cameras to answer', seconds, 3)
    .option('--json', 'print all that was found as JSON')
    .addHelpText(
      'after',
      notes(`
Examples:
  mipha cameras
  mipha cameras --host 192.168.1.20 --user viewer --password-file camera.txt

No camera is opened. A login goes, hashed, to every camera that answers, at the address that answered; name one by --host where you do not trust all
of the network. It does not stand in what is printed.`),
    )
    .action(cameras);
}

async function cameras({ network, interface: interfaces, host: hosts, user, passwordFile, wait, json }: CamerasCommand): Promise<void> {
  if ((user === undefined) !== (passwordFile === undefined)) throw optionError('user', '--user together with --password-file', user ?? passwordFile);
  const login = user === undefined || passwordFile === undefined ? undefined : { user, password: await passwordIn(passwordFile) };
  const { signal, release } = interruption();
  try {
    const options = { interfaces: interfaces.length > 0 ? interfaces : undefined, hosts, login, probeMs: wait * 1000, signal };
    const [local, { cameras: remote, problems }] = await Promise.all([
      localCameras(),
      network ? onvifCameras(options) : { cameras: [], problems: [] },
    ]);
    const found: FoundCamera[] = [...local, ...remote];
    for (const problem of problems) process.stderr.write(redactor.text(`mipha: ${problem}\n`));
    if (json) printJson({ cameras: found, problems });
    else print(`${linesOf(found, network).join('\n')}\n`);
  } finally {
    release();
  }
}

/** Without the newline at its end, which an editor puts there. */
async function passwordIn(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new MiphaError('ERR_OPTION', `Option passwordFile: ${file} cannot be read: ${cause.message}`, { cause });
  });
  const password = text.replace(/\r?\n$/, '');
  if (password === '') throw optionError('passwordFile', 'a file with a password', file);
  redactor.add([password]);
  return password;
}

function linesOf(found: readonly FoundCamera[], network: boolean): string[] {
  if (found.length === 0) return [`# no camera was found on this machine${network ? ' or, by ONVIF, on its networks' : ''}`];
  const ids = idsFor(found.map(({ name }) => name));
  return ['cameras:', ...found.flatMap((camera, i) => entryOf(ids[i] as string, camera).map((line) => `  ${line}`))];
}

function entryOf(id: string, camera: FoundCamera): string[] {
  if (camera.kind !== 'onvif') return [`${id}: { uri: ${JSON.stringify(camera.uri)} } # ${camera.name}`];
  const chosen = streamFor(camera.streams);
  if (chosen === undefined)
    return [`# ${camera.name}, ${camera.address}: ${camera.problem}${camera.needsLogin ? '; --user and --password-file give one' : ''}`];
  const variable = `MIPHA_CONFIG_CAMERAS__${id.toUpperCase().replaceAll('-', '_')}__URI`;
  return [
    `${id}: { uri: ${JSON.stringify(chosen.uri)} } # ${wordsOf(camera)}, ${sizeOf(chosen)}`,
    `# with a login, in the environment: ${variable}=${chosen.uri.replace('://', '://USER:PASSWORD@')}`,
    ...camera.streams.filter((stream) => stream !== chosen).map((stream) => `# or ${stream.uri} (${sizeOf(stream)})`),
  ];
}

/** The smallest that is large enough, else the largest. */
function streamFor(streams: readonly OnvifStream[]): OnvifStream | undefined {
  const enough = streams.filter(({ width, height }) => Math.max(width ?? 0, height ?? 0) >= ENOUGH_PX);
  return enough.at(-1) ?? streams[0];
}

function wordsOf({ name, hardware, address }: OnvifCamera): string {
  return [...new Set([name, hardware, address])].filter((word) => word !== null).join(', ');
}

function sizeOf({ width, height, encoding, profile }: OnvifStream): string {
  return [width !== null && height !== null && `${width} x ${height}`, encoding, profile].filter((word) => word).join(' ');
}
