import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Board, boardWatts } from '../../../src/service/board/board.js';
import { Energy } from '../../../src/service/board/energy.js';
import { System } from '../../../src/service/board/system.js';

/** A machine whose sensors say what a test puts there. */
class FakeSystem extends System {
  zones: Record<string, number> = { 'cpu-thermal': 50, 'tj-thermal': 52 };
  slow: string[] | null = [];
  watts = 10;
  override temperatures = async () => this.zones;
  override rails = async () => ({ VDD_IN: this.watts, VDD_SOC: 1 });
  override throttled = async () => this.slow;
  override overCurrents = async () => null;
  override powerMode = async () => null;
  override clockSynced = async () => null;
}

function stage({ hasDuty = false } = {}) {
  const system = new FakeSystem('/nowhere');
  const heats: (number | null)[] = [];
  const alerts: (string | null)[] = [];
  const done = { answers: 0 };
  const board = new Board({
    system,
    answers: () => done.answers,
    hasDuty: () => hasDuty,
    onHeat: (celsius) => heats.push(celsius),
    alert: (message) => alerts.at(-1) !== message && alerts.push(message),
  });
  return { system, board, heats, alerts, done };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a board', () => {
  it('is read every five seconds, tells its hottest zone, and no more once it is stopped', async () => {
    const { system, board, heats } = stage();
    await board.begin();
    system.zones = { 'cpu-thermal': 80, 'tj-thermal': 91.5 };
    await vi.advanceTimersByTimeAsync(5000);
    system.zones = {};
    await vi.advanceTimersByTimeAsync(5000);
    expect(heats).toEqual([52, 91.5, null]);
    board.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heats).toHaveLength(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that throttles is an alert, until it has not for a minute', async () => {
    const { system, board, alerts } = stage();
    await board.begin();
    system.slow = ['cpu-throttle-alert'];
    await vi.advanceTimersByTimeAsync(5000);
    system.slow = [];
    await vi.advanceTimersByTimeAsync(60_000);
    expect(alerts).toEqual([null, 'The board is too hot and slows itself down: cpu-throttle-alert']);
    await vi.advanceTimersByTimeAsync(5000);
    expect(alerts.at(-1)).toBeNull();
    board.stop();
  });

  it('without a thermometer says that watches cannot slow down by one', async () => {
    const { system, board, alerts } = stage({ hasDuty: true });
    system.zones = {};
    await board.begin();
    expect(alerts).toEqual([expect.stringContaining('no temperature')]);
    system.zones = { cpu: 40 };
    await vi.advanceTimersByTimeAsync(5000);
    expect(alerts.at(-1)).toBeNull();
    board.stop();
  });

  it('adds up its energy, and shares it among the answers', async () => {
    const { system, board, done } = stage();
    await board.begin();
    expect([board.joules, board.joulesPerAnswer]).toEqual([0, null]);
    system.watts = 20;
    done.answers = 10;
    await vi.advanceTimersByTimeAsync(5000);
    expect(board.joules).toBeCloseTo(75, 6);
    expect(board.joulesPerAnswer).toBeCloseTo(7.5, 6);
    board.stop();
  });
});

describe('the power of a board', () => {
  it('is that of its supply, or of the rails that are all of it', () => {
    expect(boardWatts({ VDD_IN: 7, VDD_CPU_GPU_CV: 3, VDD_SOC: 1 })).toBe(7);
    expect(boardWatts({ VDD_GPU_SOC: 5, VDD_CPU_CV: 3, VIN_SYS_5V0: 4, VDDQ_VDD2_1V8AO: 1 })).toBe(12);
    expect(boardWatts({ VIN: 40, VDD_GPU: 12, VDD_CPU_SOC_MSS: 10, VIN_SYS_5V0: 9 })).toBe(40);
    expect(boardWatts({ VDD_GPU: 12, VDD_CPU_SOC_MSS: 10, VIN_SYS_5V0: 9 })).toBe(31);
  });

  it('is not known where the rails are not', () => {
    expect(boardWatts({ VDD_GPU_SOC: 5 })).toBeNull();
    expect(boardWatts({})).toBeNull();
  });
});

describe('energy', () => {
  it('is not made up for time in which nothing was read', () => {
    const energy = new Energy();
    expect(energy.joules).toBeNull();
    energy.add(10, 0, 0);
    energy.add(10, 1, 1000);
    energy.add(null, 2, 2000);
    energy.add(10, 3, 3000);
    energy.add(10, 4, 4000);
    energy.add(10, 100, 1_000_000);
    expect(energy.joules).toBeCloseTo(20, 6);
    expect(energy.perAnswer()).toBeNull();
    energy.add(10, 102, 1_001_000);
    expect(energy.perAnswer()).toBeCloseTo(5, 6);
  });

  it('is shared among the answers of the last readings alone', () => {
    const energy = new Energy();
    for (let second = 0; second <= 1000; second++) energy.add(second < 500 ? 100 : 10, second, second * 1000);
    expect(energy.perAnswer()).toBeCloseTo(10, 6);
  });
});
