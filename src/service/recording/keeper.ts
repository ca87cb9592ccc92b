/**
 * The record of a node: a recorder, opened where any watch is recorded, and what is handed to it. Nothing that happens to it keeps the node from running:
 * what is wrong with it is an alert.
 */
import type { RecorderTrouble } from '../../record/recorder.js';
import type { FrameDecision } from '../../watch/decisions.js';
import type { Suppressed, WatchEvent } from '../../watch/event.js';
import type { Opinion } from '../../watch/opinion.js';
import type { WatchOutcome } from '../../watch/outcome.js';
import type { Mark } from '../../watch/past.js';
import type { WatchSpec } from '../../watch/spec.js';
import { within } from '../../watch/within.js';
import type { Config } from '../config/config.js';
import { recordFolderOf } from '../config/record-folder.js';
import { own } from '../own.js';
import { timeZoneOf } from '../time-zone.js';
import { Recording } from './recording.js';
import { RecordThread, type RecordThreadStatus } from './thread.js';

export interface RecordKeeperOptions {
  /** Of this process. */
  session: string;
  /** That answers; asked when there is something to record. */
  model: () => { name: string; hash: string };
  /** Something is wrong with the record; null: no more. */
  alert: (message: string | null) => void;
  /** How long it must be well before the alert is taken back: a disk that is nearly full is so again and again. Default: 5000. */
  wellMs?: number;
}

export type KeeperStatus = Omit<RecordThreadStatus, 'trouble'>;

const WELL_MS = 5000;
const NO_FOLDER = 'Nothing is recorded: that recorder.folder or state_dir names a folder takes a restart';

export class RecordKeeper {
  private opening: Promise<void> | null = null;
  private thread: RecordThread | null = null;
  private recording: Recording | null = null;
  private present: Pick<Config, 'cameras' | 'watches'> = { cameras: {}, watches: {} };
  private isWanted = false;
  private isClosed = false;
  private wellTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: RecordKeeperOptions) {}

  /**
   * What is not to be recorded any more is not from this moment on; the rest is when the recorder is open, which a disk that stands still delays by some
   * seconds. Folder and limits are those of the first call that has something to record. Of `changed` cameras nothing is recorded that is being encoded:
   * part of it may be private now.
   */
  async apply(config: Config, changed: readonly string[] = []): Promise<void> {
    this.present = config;
    this.recording?.withdrawPictures(changed);
    this.recording?.retain((watch, spec) => this.isRecorded(watch, spec));
    this.isWanted = Object.entries(config.watches).some(([id, spec]) => this.isRecorded(id, spec));
    const folder = recordFolderOf(config);
    if (folder === undefined) {
      this.options.alert(this.isWanted ? NO_FOLDER : null);
    } else if (this.isWanted && !this.isClosed) {
      this.opening ??= this.open(folder, config);
      await this.opening;
    }
  }

  /** Undefined while nothing is recorded: then nothing need be decided for it. */
  get onDecision(): ((decision: FrameDecision) => void) | undefined {
    return this.isWanted && this.recording !== null ? this.decided : undefined;
  }

  answered(outcome: WatchOutcome): void {
    this.recording?.answered(outcome);
  }

  opined(opinion: Opinion): void {
    this.recording?.opined(opinion);
  }

  told(event: WatchEvent): void {
    this.recording?.told(event);
  }

  suppressed(news: Suppressed): void {
    this.recording?.suppressed(news);
  }

  marked(watch: string, mark: Mark): void {
    this.recording?.marked(watch, mark);
  }

  /** Null while nothing has been recorded. */
  status(): KeeperStatus | null {
    if (this.thread === null) return null;
    const { trouble: _, ...status } = this.thread.status();
    return status;
  }

  /** Resolves when what was handed over so far is on the disk, after so long in any case. */
  async settle(withinMs: number): Promise<void> {
    if (this.thread !== null) await within(this.thread.flush(), withinMs);
  }

  /** For good. Writes what it can within the budget. */
  async close(budgetMs: number): Promise<void> {
    this.isClosed = true;
    this.isWanted = false;
    clearTimeout(this.wellTimer);
    await this.thread?.close(budgetMs);
  }

  private readonly decided = (decision: FrameDecision): void => {
    const { id, spec } = decision.watch;
    if (this.isRecorded(id, spec)) this.recording?.decided(decision);
  };

  /** Asked with the specification that the loop has, which follows the configuration a little later. */
  private isRecorded(watch: string, spec: WatchSpec): boolean {
    const { cameras, watches } = this.present;
    return spec.record && own(watches, watch)?.record === true && own(cameras, spec.camera)?.images === true;
  }

  private async open(folder: string, config: Config): Promise<void> {
    const { bytes, days, quality } = config.recorder;
    const { session, model } = this.options;
    const onTrouble = (trouble: RecorderTrouble | null) => this.tell(trouble);
    const thread = await RecordThread.open({ folder, session, limits: { bytes, days }, quality, onTrouble });
    this.thread = thread;
    this.recording = new Recording({
      to: thread,
      get model() {
        return model();
      },
      timezone: timeZoneOf(config),
    });
    if (this.isClosed) await thread.close(0);
  }

  private tell(trouble: RecorderTrouble | null): void {
    clearTimeout(this.wellTimer);
    if (this.isClosed) return;
    const { alert, wellMs = WELL_MS } = this.options;
    if (trouble === null) this.wellTimer = setTimeout(() => alert(null), wellMs).unref();
    else alert(`${trouble.records === 'lines' ? 'Pictures are not recorded' : 'Nothing is recorded'}: ${trouble.message}`);
  }
}
