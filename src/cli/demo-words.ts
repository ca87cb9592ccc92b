/** The sentences around the demo's table. */
import type { Health } from '../mqtt/messages.js';
import type { Topics } from '../mqtt/topics.js';
import type { Config } from '../service/config/config.js';
import type { DemoCounts, DemoLedger } from './demo-ledger.js';
import { milliseconds } from './output.js';
import { commandLines } from './shell.js';

const INDENT = '  ';

/** How the camera and the engine are. */
export function frameLines({ cameras, latency_ms, engine }: Health, camera: string): string[] {
  const now = cameras[camera];
  if (now === undefined) return ['loading the model'];
  const skipped = Object.entries(now.skipped).filter(([, count]) => count > 0);
  const lines = [
    `camera    ${now.state}, ${now.fps.toFixed(1)} frames a second, ${now.frames} so far`,
    `skipped   ${skipped.length === 0 ? 'nothing' : skipped.map(([reason, count]) => `${count} ${reason}`).join(', ')}, by the watches`,
    `engine    ${engine.backend ?? engine.state}, busy ${(engine.busy_ratio * 100).toFixed(0)} % of the last minute`,
  ];
  if (latency_ms !== null) {
    lines.push(
      `latency   from capture to publication p50 ${milliseconds(latency_ms.p50)}, p95 ${milliseconds(latency_ms.p95)}, p99 ${milliseconds(latency_ms.p99)}`,
    );
  }
  return lines;
}

/** What to type in another terminal, on lines of at most `width` columns that can be copied as they stand. */
export function followLines(topics: Topics, { url, username, password_file: passwordFile }: Config['mqtt'], width: number): string[] {
  const { hostname, port, protocol } = new URL(url);
  const tls = protocol === 'mqtts:';
  const at = [
    ['-h', hostname.replace(/^\[|\]$/g, '')],
    ['-p', port || (tls ? '8883' : '1883')],
    ...(username === undefined ? [] : [['-u', username]]),
    ...(passwordFile === undefined ? [] : [['-P', 'PASSWORD']]),
    ...(tls ? [['--tls-use-os-certs']] : []),
  ];
  const command = (...groups: string[][]) => commandLines(groups, width - INDENT.length).map((line) => `${INDENT}${line}`);
  return [
    'In another terminal, follow everything:',
    ...command(['mosquitto_sub'], ...at, ['-t', topics.all], ['-v']),
    `ask something, the answer comes on ${topics.response('query')}:`,
    ...command(['mosquitto_pub'], ...at, ['-t', `${topics.root}/request/query`], ['-m', '{"question":"What is on the table?"}']),
  ];
}

/** What the broker gave back. */
export function countLine({ messages, right, total }: DemoCounts): string {
  return `broker    ${messages} messages came back, ${right} of ${total} answers right`;
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
