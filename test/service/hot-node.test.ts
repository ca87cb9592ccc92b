import { expect, it, vi } from 'vitest';
import { System } from '../../src/service/board/system.js';
import { startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { fakeModel, KITCHEN, LAMP, listen, startNode } from './support.js';

describeWith(['mosquitto'], 'a node on a hot board', () => {
  it('slows the watches that have duty, and says so, its power and what throttles', async () => {
    vi.spyOn(System.prototype, 'temperatures').mockResolvedValue({ 'tj-thermal': 91 });
    vi.spyOn(System.prototype, 'rails').mockResolvedValue({ VDD_IN: 12.5 });
    vi.spyOn(System.prototype, 'throttled').mockResolvedValue(['gpu-throttle-alert']);
    try {
      await using broker = await startMosquitto();
      await using ear = await listen(broker.url);
      const watches = { slow: { ...LAMP, duty: { above_c: 80 } }, fast: LAMP };
      const values = { cameras: { kitchen: KITCHEN }, watches, health_interval_ms: 1000 };
      await using node = await startNode(broker.url, values, { loadModel: async () => fakeModel() });
      await until('both are told', () => node.service.health().watches.slow?.slowed === true);
      expect(node.service.health()).toMatchObject({
        watches: { fast: { slowed: false } },
        temperature_c: { 'tj-thermal': 91 },
        power: { watts: 12.5, throttled: ['gpu-throttle-alert'] },
      });
      await until('the alert', () => ear.on('alert/thermal').some(({ text }) => text.includes('gpu-throttle-alert')));
    } finally {
      vi.restoreAllMocks();
    }
  }, 30_000);
});
