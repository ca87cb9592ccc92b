/** What the page of a node needs of this program: its own files and commands. */
import { join } from 'node:path';
import { packageRoot } from '../addon/load.js';
import type { PageSetup } from '../service/page/page-node.js';

/** `check`: options of check-config that stand for the node's own configuration. */
export function pageSetup(check: readonly string[]): PageSetup {
  const dist = join(packageRoot(), 'dist');
  return { folder: join(dist, 'web'), mipha: [process.execPath, join(dist, 'cli', 'main.js')], check };
}
