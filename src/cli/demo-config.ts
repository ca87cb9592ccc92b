/** The demo as a configuration: what anybody could write into a file for `mipha run`. */
import { resolve } from 'node:path';
import { type ConfigInput, configOf, type LoadedConfig } from '../service/config/config.js';
import { WATCHES } from './demo-watches.js';

export interface DemoSetup {
  url: string;
  protocol: '5' | '3.1.1';
  seed: number;
  /** Counted: a change every 400 ms, to be done soon. Otherwise one every 4 s, to be watched. */
  counted: boolean;
  /** Folder to record into. */
  record?: string | undefined;
  assignments: readonly (readonly [path: string, value: string])[];
}

export const NODE = 'demo';
export const CAMERA = 'kitchen';

/** Throws ERR_CONFIG. */
export function demoConfig({ url, protocol, seed, counted, record, assignments }: DemoSetup): LoadedConfig {
  const pace = counted ? { fps: 10, changeMs: 400, intervalMs: 200 } : { fps: 5, changeMs: 4000, intervalMs: 500 };
  const watches = Object.entries(WATCHES).map(([id, { question, answer }]): [string, ConfigInput] => [
    id,
    { camera: CAMERA, question, answer, interval_ms: pace.intervalMs, record: record !== undefined },
  ]);
  return configOf(
    {
      node: NODE,
      // its pictures are drawn, so nothing private travels in the clear
      mqtt: { url, protocol, allow_plaintext: true, discovery: { enabled: false } },
      http: { enabled: false },
      cameras: { [CAMERA]: { uri: `synthetic://kitchen?cup=one&seed=${seed}&fps=${pace.fps}&change_ms=${pace.changeMs}`, images: true } },
      watches: Object.fromEntries(watches),
      ...(record === undefined ? {} : { recorder: { folder: resolve(record) } }),
      log: { level: 'fatal' },
      health_interval_ms: 5000,
    },
    assignments,
  );
}
