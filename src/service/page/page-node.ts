/** The node as its page needs it. */
import { MiphaError } from '../../errors.js';
import type { Desk } from '../../page/desk.js';
import type { Offers, OptionIssue, PageNode } from '../../page/node.js';
import type { Config, ConfigInput, ConfigIssue } from '../config/config.js';
import { recordFolderOf } from '../config/record-folder.js';
import { settingsOf } from '../config/settings.js';
import type { Log } from '../log/log.js';
import type { NodeParts } from '../node-parts.js';
import type { NodeState } from '../node-state.js';
import { own } from '../own.js';
import type { Trials } from '../trial/trials.js';

export interface PageSetup {
  /** Where the built page lies. */
  folder: string;
  /** Program and first arguments of the commands of `mipha`; null: this program has none. */
  mipha: readonly string[] | null;
  /** Options of check-config: the node's own file and assignments. */
  check: readonly string[];
}

/** Of what is sent with a picture: the question and the frame of the request. */
const REQUEST_BYTES = 16_384;

/** To be told whenever the configuration changes. */
export function offersOf({ requests, http }: Pick<Config, 'requests' | 'http'>, { mipha }: Pick<PageSetup, 'mipha'>): Offers {
  const room = Math.floor(((http.body_bytes - REQUEST_BYTES) * 3) / 4); // pictures travel in base64
  return { queries: requests.queries, picture_bytes: http.chat ? room : null, check: mipha !== null };
}

export interface PageNodeOptions extends PageSetup {
  desk: Desk;
  trials: Trials;
  log: Log;
}

export function pageNode(
  { side, changer, frames, fleet }: NodeParts,
  state: NodeState,
  { desk, trials, log, mipha, check }: PageNodeOptions,
): PageNode {
  const audit = log.child('audit');
  return {
    node: changer.config.node,
    session: state.session,
    version: state.version,
    feed: side.feed,
    fleet,
    desk,
    frame: (camera, id) => frames.jpeg(camera, id),
    recorded: (watch) => {
      const { cameras, watches } = changer.config;
      const spec = own(watches, watch);
      if (spec === undefined) return null;
      const isShown = own(cameras, spec.camera)?.images === true;
      return { folder: recordFolderOf(changer.config), isShown, isRecorded: spec.record && isShown };
    },
    settings: () => settingsOf(changer.layered, { redacted: true }),
    checkOptions: (options) => refusalsOf(() => changer.check(options as ConfigInput)),
    tryOut: async (request, options) => {
      const folder = recordFolderOf(changer.config);
      if (folder === undefined) throw new MiphaError('ERR_CONFIG', 'Nothing is recorded: recorder.folder or state_dir is not set');
      return await trials.run({ ...request, folder }, options);
    },
    commands: mipha === null ? null : { mipha, check },
    audit: ({ who, verb, what, outcome }) => audit.info({ who, verb, what, outcome }, `${who}: ${verb}${what === '' ? '' : ` ${what}`}: ${outcome}`),
  };
}

function refusalsOf(check: () => void): OptionIssue[] {
  try {
    check();
    return [];
  } catch (error) {
    if (!(error instanceof MiphaError) || error.code !== 'ERR_CONFIG') throw error;
    const { issues = [], forbidden = [] } = error.details as { issues?: ConfigIssue[]; forbidden?: string[] };
    return [
      ...issues.map(({ path, expected, received }) => ({ path, message: `expected ${expected}, received ${received}` })),
      ...forbidden.map((path) => ({ path, message: 'this node does not let it be changed from outside' })),
    ];
  }
}
