/** The sentences around the demo's table. */
import type { Health } from '../mqtt/messages.js';
import type { Topics } from '../mqtt/topics.js';
import type { Config } from '../service/config/config.js';
import type { DemoCounts, DemoLedger } from './demo-ledger.js';
import { milliseconds } from './output.js';

/** How the camera and the engine are. */
export function frameLines({ cameras, latency_ms, engine }: Health, camera: string): string[] {
  const now = cameras[camera];
  if (now === undefined) return ['loading the model'];
  const skipped = Object.entries(now.skipped).filter(([, count]) => count > 0);
  const lines = [
    `camera    ${now.state}, ${now.fps.toFixed(1)} frames a second, ${now.frames} so far` +
      (skipped.length === 0 ? '' : `; skipped by watches: ${skipped.map(([reason, count]) => `${count} ${reason}`).join(', ')}`),
    `engine    ${engine.backend ?? engine.state}, busy ${(engine.busy_ratio * 100).toFixed(0)} % of the last minute`,
  ];
  if (latency_ms !== null) {
    lines.push(
      `latency   from capture to publication p50 ${milliseconds(latency_ms.p50)}, p95 ${milliseconds(latency_ms.p95)}, p99 ${milliseconds(latency_ms.p99)}`,
    );
  }
  return lines;
}

/** What to type in another terminal. */
export function followLines(topics: Topics, { url }: Config['mqtt'], counts?: DemoCounts): string[] {
  const { hostname, port, protocol } = new URL(url);
  const at = `-h ${hostname} -p ${port || (protocol === 'mqtts:' ? 8883 : 1883)}`;
  const ask = `{"question":"What is on the table?"}`;
  return [
    ...(counts === undefined ? [] : [`broker    ${counts.messages} messages came back, ${counts.right} of ${counts.total} answers right`, '']),
    `follow    mosquitto_sub ${at} -t '${topics.all}' -v`,
    `ask       mosquitto_pub ${at} -t ${topics.root}/request/query -m '${ask}'`,
    `          the answer comes on ${topics.response('query')}`,
  ];
}

export function summaryLines(ledger: DemoLedger, { latency_ms }: Health): string[] {
  const { right, total, lagsMs, missed } = ledger;
  const share = total === 0 ? 0 : right / total;
  const lines = [`${ledger.frames.size} frames, ${right} of ${total} answers right (${(share * 100).toFixed(1)} %).`];
  if (lagsMs.length > 0) {
    const slowest = Math.max(...lagsMs);
    lines.push(
      `${lagsMs.length} of ${lagsMs.length + missed} changes reached the broker before the next one, the slowest after ${milliseconds(slowest)}.`,
    );
  }
  if (latency_ms !== null) lines.push(`From capture to publication: p50 ${milliseconds(latency_ms.p50)}, p95 ${milliseconds(latency_ms.p95)}.`);
  return lines;
}
