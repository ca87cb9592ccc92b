/** What to do about an error, in a few words: only what fits the command and the case. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { type ErrorCode, MiphaError } from '../errors.js';
import { reportAddress } from './options.js';

/** A message that says what to run needs no second advice. The commands by name: folders are called "mipha models" too. */
const NAMES_A_COMMAND = /\b(mipha (build|calibrate|convert|doctor)|npm rebuild mipha-edge)\b/;

const PACKAGE_WANTED = 'give the folder of a package, or write one with: mipha convert CHECKPOINT OUT';
const FORMATS = 'JPEG, PNG, WebP, AVIF, GIF and TIFF are read';

type Advice = (error: MiphaError, command: string) => string | undefined;

const ADVICE: Partial<Record<ErrorCode, Advice>> = {
  ERR_OPTION: ({ details }, command) =>
    details.nearest === undefined && details.option !== 'out' ? `see: mipha ${command} --help`.replace('  ', ' ') : undefined,
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
  if (typeof error.details.remedy === 'string' || NAMES_A_COMMAND.test(error.message)) return undefined;
  return ADVICE[error.code]?.(error, command);
}

function pathOf({ details }: MiphaError): string {
  return typeof details.path === 'string' ? details.path : '';
}

function aboutCheckpoint(error: MiphaError): string {
  const path = pathOf(error);
  if (isForbidden(error)) return 'this user may not read it';
  if (basename(path).startsWith('adapter_')) return 'an adapter is a folder with adapter_config.json and adapter_model.safetensors';
  if (basename(path) !== 'config.json' && existsSync(join(dirname(path), 'config.json'))) return 'the checkpoint is not whole: download it again';
  if (/^[\w.-]+\/[\w.-]+$/.test(path) && !existsSync(dirname(path)))
    return `if that is a name on the hub, download it first: hf download ${path} --local-dir ${basename(path)}`;
  return 'a checkpoint is a folder with config.json, safetensors and tokenizer files, as on the hub';
}

function aboutContent({ details }: MiphaError): string | undefined {
  if (details.family !== undefined) return undefined; // a published one; its maker has done nothing wrong
  const publication = `please report it${reportAddress()} with its config.json`;
  const isOther = typeof details.what === 'string' && details.what.endsWith(': model_type');
  return isOther ? `if it is a published Mipha checkpoint, ${publication}` : `download the checkpoint again; if it is as published, ${publication}`;
}

function aboutPackage(error: MiphaError): string {
  const path = pathOf(error);
  const folder = dirname(path);
  if (isForbidden(error)) return 'this user may not read it';
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return 'that is a file: give the folder of a package';
  if (basename(path) !== 'manifest.json' && existsSync(join(folder, 'manifest.json'))) return 'the package is not whole: copy or convert it again';
  return existsSync(join(folder, 'config.json')) ? `that is a checkpoint, make a package of it: mipha convert ${folder} OUT` : PACKAGE_WANTED;
}

function isForbidden({ cause }: MiphaError): boolean {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}

function aboutPicture(error: MiphaError): string | undefined {
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  const path = pathOf(error);
  switch (code) {
    case undefined:
      if (error.details.format !== undefined || /unsupported image format/.test(error.message)) return FORMATS;
      return error.cause === undefined ? undefined : `it is damaged, or a kind that is not read; ${FORMATS}`;
    case 'ENOENT':
      return path === '' || isAbsolute(path) ? undefined : `the path starts at ${process.cwd()}`;
    case 'EISDIR':
      return 'give one picture, not a folder';
    default:
      return isForbidden(error) ? 'this user may not read it' : undefined;
  }
}

function aboutBroker({ cause }: MiphaError): string | undefined {
  const { code } = (cause ?? {}) as { code?: unknown };
  if (cause instanceof MiphaError || code === 'ENOENT' || code === 'EACCES') return undefined; // about a file
  const refusedUser = code === 4 || code === 5 || code === 134 || code === 135; // CONNACK of 3.1.1 and 5
  return refusedUser ? 'check mqtt.username and mqtt.password_file' : 'check that the broker runs and its address is right';
}
