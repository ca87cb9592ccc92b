import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Notifier } from '../../src/service/notify.js';

let folder = '';
let program = '';
/** Stands for systemd-notify: writes down what it was told, and by which socket. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-notify-'));
  program = join(folder, 'systemd-notify');
  await writeFile(program, `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> "${join(folder, 'told')}"\n`);
  await chmod(program, 0o755);
});
afterEach(() => rm(folder, { recursive: true }));

const told = async () => (await readFile(join(folder, 'told'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
const env = (more: NodeJS.ProcessEnv = {}) => ({ PATH: process.env.PATH, NOTIFY_SOCKET: '/run/test', ...more });

describe('systemd', () => {
  it('is told of the start and the end', async () => {
    const notifier = new Notifier({ env: env(), program });
    await notifier.ready('watching 2 cameras');
    await notifier.stopping();
    expect(await told()).toEqual(['/run/test READY=1 STATUS=watching 2 cameras', '/run/test STOPPING=1']);
  });

  it('is told nothing where it did not ask', async () => {
    const notifier = new Notifier({ env: { PATH: process.env.PATH, WATCHDOG_USEC: '1000' }, program });
    expect(notifier.enabled).toBe(false);
    await notifier.ready();
    await notifier.stopping();
    expect(await told()).toEqual([]);
  });

  it('gets watchdog pings while the node is well, and none after', async () => {
    let healthy = true;
    const notifier = new Notifier({ env: env({ WATCHDOG_USEC: '100000', WATCHDOG_PID: String(process.pid) }), program, healthy: () => healthy });
    const pings = async () => (await told()).filter((line) => line.endsWith('WATCHDOG=1')).length;
    await notifier.ready();
    await vi.waitUntil(async () => (await pings()) >= 3, { timeout: 20_000 });
    healthy = false;
    await new Promise((done) => setTimeout(done, 500)); // what was under way
    const before = await pings();
    await new Promise((done) => setTimeout(done, 500));
    expect(await pings()).toBe(before);
    healthy = true;
    await vi.waitUntil(async () => (await pings()) > before, { timeout: 20_000 });
    await notifier.stopping();
    await new Promise((done) => setTimeout(done, 300));
    const last = await pings();
    await new Promise((done) => setTimeout(done, 500));
    expect(await pings()).toBe(last);
  });

  it('pings at half of the time', async () => {
    vi.useFakeTimers();
    try {
      let asked = 0;
      const healthy = () => {
        asked++;
        throw new Error('cannot tell');
      };
      const notifier = new Notifier({ env: env({ WATCHDOG_USEC: '30000000' }), program, healthy });
      await notifier.ready();
      vi.advanceTimersByTime(14_999);
      expect(asked).toBe(0);
      vi.advanceTimersByTime(30_001);
      expect(asked).toBe(3);
      await notifier.stopping();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([{ WATCHDOG_USEC: '100000', WATCHDOG_PID: '1' }, { WATCHDOG_USEC: 'soon' }, {}])('is not pinged with %j', async (more) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const notifier = new Notifier({ env: env(more), program });
      await notifier.ready();
      expect(vi.getTimerCount()).toBe(0);
      await notifier.stopping();
    } finally {
      vi.useRealTimers();
    }
  });

  it('may be out of reach', async () => {
    const notifier = new Notifier({ env: env(), program: join(folder, 'absent') });
    await notifier.ready();
    await notifier.stopping();
    const refused = new Notifier({ env: env({ NOTIFY_SOCKET: join(folder, 'no socket') }) }); // the real program, where it is installed
    await refused.ready();
    await refused.stopping();
  });
});
