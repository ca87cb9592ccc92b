/** What to do about an error, in a few words: only what fits the command and the case. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { type ErrorCode, MiphaError, type MiphaErrorOf } from '../errors.js';
import { reportAddress } from './options.js';

/** A message that says what to run needs no second advice. The commands by name: folders are called "mipha models" too. */
const NAMES_A_COMMAND = /\b(mipha (build|calibrate|convert|doctor)|npm rebuild mipha-edge)\b/;

const PACKAGE_WANTED = 'give the folder of a package, or write one with: mipha convert CHECKPOINT OUT';

const ADVICE: { [C in ErrorCode]?: (error: MiphaErrorOf<C>, command: string) => string | undefined } = {
  ERR_OPTION: ({ details: { nearest, option } }, command) =>
    nearest === undefined && !['out', 'data'].includes(option) ? `see: ${help(command)}` : undefined,
  ERR_MODEL_MISSING: (error, command) => (command === 'convert' ? aboutCheckpoint(error) : aboutPackage(error)),
  ERR_MODEL_FORMAT: (error, command) =>
    command === 'convert' ? aboutContent(error) : 'the package is damaged or of another version: convert the checkpoint again',
  ERR_MODEL_CHECKSUM: () => 'the package is damaged: copy or convert it again',
  ERR_SELF_TEST: () => 'the package does not answer as it did when it was made: run mipha doctor, then convert it again',
  ERR_BACKEND_UNAVAILABLE: () => 'run mipha doctor to see what this machine has',
  ERR_MEMORY: () => 'close other programs, or take a smaller package',
  ERR_IMAGE: aboutPicture,
  ERR_CONTEXT_FULL: (_, command) => (command === 'ask' ? 'ask a shorter question or lower --max-tokens' : 'shorten the question'),
  ERR_MQTT: aboutBroker,
  ERR_INTERNAL: () => `please report it${reportAddress()} with what --verbose shows`,
};

/** undefined where the message says it all. `command`: the one that failed, e.g. `convert`. */
export function adviceFor(error: MiphaError, command: string): string | undefined {
  if (('remedy' in error.details && error.details.remedy !== undefined) || NAMES_A_COMMAND.test(error.message)) return undefined;
  const advice = ADVICE[error.code] as ((error: MiphaError, command: string) => string | undefined) | undefined;
  return advice?.(error, command);
}

function help(command: string): string {
  return ['mipha', command, '--help'].filter(Boolean).join(' ');
}

function aboutCheckpoint(error: MiphaErrorOf<'ERR_MODEL_MISSING'>): string {
  const { path = '' } = error.details;
  if (isForbidden(error)) return 'this user may not read it';
  if (basename(path).startsWith('adapter_')) return 'an adapter is a folder with adapter_config.json and adapter_model.safetensors';
  if (basename(path) !== 'config.json' && existsSync(join(dirname(path), 'config.json'))) return 'the checkpoint is not whole: download it again';
  if (/^[\w.-]+\/[\w.-]+$/.test(path) && !existsSync(dirname(path)))
    return `if that is a name on the hub, download it first: hf download ${path} --local-dir ${basename(path)}`;
  return 'a checkpoint is a folder with config.json, safetensors and tokenizer files, as on the hub';
}

function aboutContent({ details }: MiphaErrorOf<'ERR_MODEL_FORMAT'>): string | undefined {
  if (details.family !== undefined) return undefined; // a published one; its maker has done nothing wrong
  const publication = `please report it${reportAddress()} with its config.json`;
  const isOther = details.what?.endsWith(': model_type');
  return isOther ? `if it is published as one of these, ${publication}` : `download the checkpoint again; if it is as published, ${publication}`;
}

function aboutPackage(error: MiphaErrorOf<'ERR_MODEL_MISSING'>): string {
  const { path = '' } = error.details;
  const folder = dirname(path);
  if (isForbidden(error)) return 'this user may not read it';
  if (isFile(path) || isFile(folder)) return 'that is a file: give the folder of a package';
  if (basename(path) !== 'manifest.json' && existsSync(join(folder, 'manifest.json'))) return 'the package is not whole: copy or convert it again';
  return existsSync(join(folder, 'config.json')) ? `that is a checkpoint, make a package of it: mipha convert ${folder} OUT` : PACKAGE_WANTED;
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

function isForbidden({ cause }: MiphaError): boolean {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}

function aboutPicture({ details: { reason, path, bytes }, cause }: MiphaErrorOf<'ERR_IMAGE'>): string | undefined {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  switch (reason) {
    case 'missing':
      return path === undefined || isAbsolute(path) ? undefined : `the path starts at ${process.cwd()}`;
    case 'unreadable':
      return code === 'EISDIR' ? 'give one picture, not a folder' : code === 'EACCES' ? 'this user may not read it' : undefined;
    case 'format':
      return bytes === 0 ? undefined : 'JPEG, PNG, WebP, AVIF, GIF and TIFF are read';
    default:
      return undefined;
  }
}

function aboutBroker({ cause }: MiphaErrorOf<'ERR_MQTT'>): string | undefined {
  const { code } = (cause ?? {}) as { code?: unknown };
  if (cause instanceof MiphaError || code === 'ENOENT' || code === 'EACCES') return undefined; // about a file
  const refusedUser = code === 4 || code === 5 || code === 134 || code === 135; // CONNACK of 3.1.1 and 5
  return refusedUser ? 'check mqtt.username and mqtt.password_file' : 'check that the broker runs and its address is right';
}
