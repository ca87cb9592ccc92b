/** The overrides that an earlier life has kept, at a start: in force, unless they have kept the node from starting. */
import type { LoadedConfig } from './config/config.js';
import { conflictsOf, type Overridden, withOverrides } from './config/overrides.js';
import type { Logger } from './log.js';
import type { NodePublisher } from './publish-node.js';
import type { StateDir } from './state-dir.js';

export class KeptOverrides {
  private without: string | null = null; // why they are not in force

  constructor(
    private readonly stateDir: StateDir,
    private readonly log: Logger,
  ) {}

  get inForce(): boolean {
    return this.without === null;
  }

  /** `without`: why this start must do without them. So does one that comes after others which ended before the node ran. */
  async over(loaded: LoadedConfig, without: string | null): Promise<Overridden> {
    const { overrides, source } = this.stateDir;
    const unfinished = without === null ? await this.stateDir.beginStart() : 0;
    this.without = without ?? (unfinished > 0 ? `${unfinished} starts with them in a row ended before the node ran` : null);
    if (this.without === null) return withOverrides(loaded, overrides, source);
    this.log.error(`The overrides of ${source} are not in force: ${this.without}`);
    this.stateDir.suspend();
    return withOverrides(loaded, {}, source);
  }

  /** The node runs. Without them it does, so they were in the way: they are set aside, and everybody is told. */
  async settle(node: NodePublisher): Promise<void> {
    if (this.without === null) {
      await this.stateDir.finishStart();
      return;
    }
    const { source } = this.stateDir;
    const aside = await this.stateDir.setAside();
    const where = aside ?? 'their file could not be renamed';
    const text = `The overrides of ${source} kept the node from starting and were dropped (${where}): ${this.without}`;
    this.log.error(text);
    node.alert('overrides', text);
    node.event('overrides_dropped', text);
  }

  /** What was changed over MQTT, and what of it hides something that the file says. */
  tell(loaded: LoadedConfig, overrides: readonly string[]): void {
    for (const warning of [...loaded.warnings, ...conflictsOf(loaded)]) this.log.warn(warning);
    if (overrides.length > 0) this.log.info({ overrides, origin: 'mqtt', file: this.stateDir.source }, `${overrides.length} overrides`);
  }
}
