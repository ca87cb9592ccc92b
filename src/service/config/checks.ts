/** What the configuration's schema asks of single texts, and of settings that only make sense together. */
import type { z } from 'zod';
import { isLoopback } from '../../address.js';
import { openSource } from '../../camera/source.js';
import { splitUri } from '../../camera/uri.js';
import type { MiphaErrorOf } from '../../errors.js';
import { checkPlaintext, parseAddress } from '../../mqtt/address.js';
import { isPublishable } from '../../mqtt/filters.js';
import { POOL } from '../../mqtt/topics.js';

export const DEFAULT_BROKER = 'mqtt://127.0.0.1:1883';
const MOST_CAMERAS = 64;
const MOST_WATCHES = 256;
const MOST_LABELS = 16;
const ANY_SIDE_PX = 384;

export function isBrokerUrl(text: string): boolean {
  return holds(() => parseAddress(text));
}

function holds(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}

/** Of topics of others: without a slash at either end. */
export function isTopicPrefix(text: string): boolean {
  return isPublishable(text) && !/^\/|\/$/.test(text);
}

/** The room of cameras knows what it can open. */
export function checkCameraUri(uri: string, context: Pick<z.core.$RefinementCtx, 'addIssue'>): void {
  try {
    openSource(uri, { sidePx: ANY_SIDE_PX });
  } catch (error) {
    const { details, message } = error as MiphaErrorOf<'ERR_OPTION'>;
    // `uri: name` when it is about an option of the address
    const name = String(details?.option ?? '').split(': ')[1];
    const expected = details?.expected === undefined ? message : `${name === undefined ? '' : `${name}: `}${details.expected}`;
    context.addIssue({ code: 'custom', message: expected, input: uri, params: { nearest: details?.nearest } });
  }
}

/** `config` may be anything: checked or as written, so that a wrong value elsewhere need not hide these. */
export function checkTogether(config: unknown, context: Pick<z.core.$RefinementCtx, 'addIssue'>): void {
  const issue: Issue = (path, expected, input, known = []) => context.addIssue({ code: 'custom', path, message: expected, input, params: { known } });
  const { node, mqtt, labels, cameras, watches, http } = record(config);
  if (node === POOL) issue(['node'], `another name than ${POOL}, below which the topics of pools are`, node);
  checkTexts(config, [], issue);
  const count = Object.keys(record(labels)).length;
  if (count > MOST_LABELS) issue(['labels'], `at most ${MOST_LABELS} labels`, count);
  checkBroker(record(mqtt), issue);
  checkPort(record(http), issue);
  checkCameras(record(cameras), issue);
  checkWatches(record(watches), record(cameras), issue);
  checkRecording(record(config), issue);
  checkUpdates(record(config), issue);
}

/** `known` are the names that could have been meant. */
type Issue = (path: (string | number)[], expected: string, input: unknown, known?: string[]) => void;

function checkBroker(mqtt: Record<string, unknown>, issue: Issue): void {
  const { url = DEFAULT_BROKER, protocol, pool, pool_filter, allow_plaintext, username, password_file, ca_file, cert_file, key_file } = mqtt;
  const origin = url === DEFAULT_BROKER ? `${url} (the default)` : url;
  if (typeof url === 'string' && isBrokerUrl(url) && url.startsWith('mqtt://')) {
    if (!holds(() => checkPlaintext(url, allow_plaintext === true))) {
      issue(['mqtt', 'url'], 'mqtts:// for a broker on another machine (or mqtt.allow_plaintext: true)', url);
    }
    for (const [name, file] of Object.entries({ ca_file, cert_file })) {
      if (file !== undefined)
        issue(['mqtt', name], `no certificate for mqtt://, which encrypts nothing: mqtt.url, which is ${origin}, must begin with mqtts://`, file);
    }
  }
  if (pool !== undefined && protocol === '3.1.1') issue(['mqtt', 'pool'], 'none with mqtt.protocol 3.1.1, which has no shared subscriptions', pool);
  if (pool_filter !== undefined && pool === undefined) issue(['mqtt', 'pool'], `a name for mqtt.pool_filter, which is ${named(pool_filter)}`, pool);
  if (password_file !== undefined && username === undefined)
    issue(['mqtt', 'username'], `a user name for mqtt.password_file, which is ${named(password_file)}`, username);
  if (cert_file !== undefined && key_file === undefined)
    issue(['mqtt', 'key_file'], `the private key to mqtt.cert_file, which is ${named(cert_file)}`, key_file);
  if (key_file !== undefined && cert_file === undefined)
    issue(['mqtt', 'cert_file'], `the certificate to mqtt.key_file, which is ${named(key_file)}`, cert_file);
}

/** Whoever can reach the port from elsewhere must show who he is. */
function checkPort({ enabled, host, viewer_token_file, operator_token_file }: Record<string, unknown>, issue: Issue): void {
  if (enabled === false || typeof host !== 'string' || isLoopback(host) || viewer_token_file !== undefined || operator_token_file !== undefined)
    return;
  issue(['http', 'host'], 'a loopback address, or tokens for other machines (http.viewer_token_file, http.operator_token_file)', host);
}

/** Half of a surrogate pair, which an escape in YAML or JSON can make, cannot be sent: it would arrive as another character. */
function checkTexts(value: unknown, path: (string | number)[], issue: Issue): void {
  if (typeof value === 'string' && /\p{Cs}/u.test(value)) issue(path, 'whole characters, no half of a surrogate pair', value);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value)) checkTexts(item, [...path, Array.isArray(value) ? Number(key) : key], issue);
}

function checkCameras(cameras: Record<string, unknown>, issue: Issue): void {
  const ids = Object.keys(cameras);
  if (ids.length > MOST_CAMERAS) issue(['cameras'], `at most ${MOST_CAMERAS} cameras`, ids.length);
  const owners = new Map<string, string>();
  for (const id of ids) {
    const { uri, enabled } = record(cameras[id]);
    if (typeof uri !== 'string' || enabled === false || !/^(v4l2|csi):/.test(uri)) continue;
    const device = splitUri(uri).rest;
    const owner = owners.get(device);
    if (owner === undefined) owners.set(device, id);
    else issue(['cameras', id, 'uri'], `a device of its own (${owner} has this one, and it can be opened once only)`, uri);
  }
}

function checkWatches(watches: Record<string, unknown>, cameras: Record<string, unknown>, issue: Issue): void {
  const ids = Object.keys(watches);
  if (ids.length > MOST_WATCHES) issue(['watches'], `at most ${MOST_WATCHES} watches`, ids.length);
  for (const id of ids) {
    const { camera, compare } = record(watches[id]);
    const { event } = record(compare);
    if (typeof event === 'string' && !Object.hasOwn(watches, event))
      issue(['watches', id, 'compare', 'event'], `a watch of this configuration (${ids.join(', ')})`, event, ids);
    if (typeof camera !== 'string' || Object.hasOwn(cameras, camera)) continue;
    const known = Object.keys(cameras);
    issue(['watches', id, 'camera'], `a camera of this configuration (${known.join(', ') || 'there is none'})`, camera, known);
  }
}

/** What is installed needs a place, and somebody who vouches for it. */
function checkUpdates({ model, state_dir }: Record<string, unknown>, issue: Issue): void {
  const { keys = [], folder, origins = [], ca_file } = record(record(model).updates);
  if (!Array.isArray(keys) || !Array.isArray(origins)) return;
  if (keys.length > 0 && state_dir === undefined) issue(['state_dir'], 'a folder for what model.updates installs', state_dir);
  for (const [name, value] of Object.entries({ folder, origins: origins[0], ca_file })) {
    if (value !== undefined && keys.length === 0)
      issue(['model', 'updates', 'keys'], `a public key for what model.updates.${name} allows`, keys.length);
  }
}

/** What may not be published may not be kept either; and what is kept needs a place. */
function checkRecording({ watches, cameras, recorder, state_dir }: Record<string, unknown>, issue: Issue): void {
  const isNowhere = record(recorder).folder === undefined && state_dir === undefined;
  for (const [id, watch] of Object.entries(record(watches))) {
    const { camera, record: isRecorded } = record(watch);
    if (isRecorded !== true) continue;
    const path = ['watches', id, 'record'];
    if (isNowhere) issue(path, 'false where neither recorder.folder nor state_dir names a folder', isRecorded);
    const known = typeof camera === 'string' && Object.hasOwn(record(cameras), camera);
    const remedy = `to keep no pictures turn off both, to record turn on cameras.${camera}.images`;
    if (known && record(record(cameras)[camera]).images !== true) issue(path, `false while cameras.${camera}.images is off (${remedy})`, isRecorded);
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A value that may be anything, in a sentence about another one. */
function named(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
