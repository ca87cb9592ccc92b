/** The node as its page needs it. */
import type { Commands, PageNode } from '../page/node.js';
import { recordFolderOf } from './config/record-folder.js';
import { settingsOf } from './config/settings.js';
import type { Log } from './log.js';
import type { NodeParts } from './node-parts.js';
import type { NodeState } from './node-state.js';
import { own } from './own.js';

/** What the commands of `mipha` are called with; null: this program has none. */
export type CommandLine = Omit<Commands, 'replay'> | null;

export function pageNode(parts: NodeParts, state: NodeState, log: Log, commandLine: CommandLine): PageNode {
  const { side, changer, frames } = parts;
  const { desk } = side;
  if (desk === null) throw new Error('requests are not taken yet');
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
    commands: commandLine === null ? null : { ...commandLine, replay: () => modelOptions(changer.config.model) },
    audit: ({ who, verb, what, outcome }) => audit.info({ who, verb, what, outcome }, `${who}: ${verb}${what === '' ? '' : ` ${what}`}: ${outcome}`),
  };
}

function modelOptions({ folder, backend }: { folder?: string | undefined; backend: string }): string[] {
  return [...(folder === undefined ? [] : ['--model', folder]), '--backend', backend];
}
