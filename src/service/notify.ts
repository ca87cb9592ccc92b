/** Tells systemd how the node is: the protocol of sd_notify, spoken by the program systemd-notify, for Node has no datagram sockets of its own. */
import { spawn } from 'node:child_process';

export interface NotifierOptions {
  env?: NodeJS.ProcessEnv;
  /** Asked before each watchdog ping: false lets systemd's watchdog run out. */
  healthy?: () => boolean;
  /** For tests. */
  program?: string;
}

const MOST_MS = 5000;

/** Does nothing without NOTIFY_SOCKET, i.e. outside a unit of Type=notify. Never throws. The unit needs NotifyAccess=all. */
export class Notifier {
  private readonly env: NodeJS.ProcessEnv;
  private readonly healthy: () => boolean;
  private readonly program: string;
  private timer: NodeJS.Timeout | null = null;
  private pinging = false;

  constructor({ env = process.env, healthy = () => true, program = 'systemd-notify' }: NotifierOptions = {}) {
    this.env = env;
    this.healthy = healthy;
    this.program = program;
  }

  get enabled(): boolean {
    return (this.env.NOTIFY_SOCKET ?? '') !== '';
  }

  /** Start-up is done. Watchdog pings begin, at half of the time that systemd allows. */
  async ready(status?: string): Promise<void> {
    await this.send('READY=1', ...statusLine(status));
    const everyMs = this.watchdogMs();
    if (everyMs === null || this.timer !== null) return;
    this.timer = setInterval(() => this.ping(), everyMs);
    this.timer.unref();
  }

  /** No more pings; systemd waits for the end. */
  async stopping(status?: string): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    await this.send('STOPPING=1', ...statusLine(status));
  }

  /** Null: this process is not watched. */
  private watchdogMs(): number | null {
    const { WATCHDOG_USEC, WATCHDOG_PID } = this.env;
    const micros = Number(WATCHDOG_USEC);
    if (!this.enabled || !Number.isFinite(micros) || micros <= 0) return null;
    if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(process.pid)) return null;
    return Math.max(1, micros / 2000);
  }

  private ping(): void {
    if (this.pinging) return; // the last one has not ended yet
    let healthy = false;
    try {
      healthy = this.healthy();
    } catch {
      // a check that fails is a node that is not well
    }
    if (!healthy) return;
    this.pinging = true;
    void this.send('WATCHDOG=1').finally(() => {
      this.pinging = false;
    });
  }

  /** Resolves when the program has ended, however it ended. */
  private send(...states: string[]): Promise<void> {
    if (!this.enabled) return Promise.resolve();
    return new Promise((done) => {
      try {
        const child = spawn(this.program, states, { env: this.env, stdio: 'ignore', timeout: MOST_MS, killSignal: 'SIGKILL' });
        child.once('error', () => done());
        child.once('close', () => done());
      } catch {
        done(); // no process could be made
      }
    });
  }
}

function statusLine(status: string | undefined): string[] {
  return status === undefined ? [] : [`STATUS=${status.replaceAll('\n', ' ')}`];
}
