/** The node as its page needs it. */
import type { Desk } from '../page/desk.js';
import type { PageNode } from '../page/node.js';
import { recordFolderOf } from './config/record-folder.js';
import { settingsOf } from './config/settings.js';
import type { Log } from './log.js';
import type { NodeParts } from './node-parts.js';
import type { NodeState } from './node-state.js';
import { own } from './own.js';

export interface PageSetup {
  /** Where the built page lies. */
  folder: string;
  /** Program and first arguments of the commands of `mipha`; null: this program has none. */
  mipha: readonly string[] | null;
  /** Options of check-config: the node's own file and assignments. */
  check: readonly string[];
}

export function pageNode({ side, changer, frames }: NodeParts, desk: Desk, state: NodeState, log: Log, { mipha, check }: PageSetup): PageNode {
  const audit = log.child('audit');
  return {
    node: changer.config.node,
    session: state.session,
    version: state.version,
    feed: side.feed,
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
    commands: mipha === null ? null : { mipha, check, replay: () => modelOptions(changer.config.model) },
    audit: ({ who, verb, what, outcome }) => audit.info({ who, verb, what, outcome }, `${who}: ${verb}${what === '' ? '' : ` ${what}`}: ${outcome}`),
  };
}

function modelOptions({ folder, backend }: { folder?: string | undefined; backend: string }): string[] {
  return [...(folder === undefined ? [] : ['--model', folder]), '--backend', backend];
}
