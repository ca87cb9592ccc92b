/** Whether a node does its work: what /readyz answers, the watchdog asks and `health` calls degraded. */
import type { Check } from '../http/health.js';
import type { Config } from './config/config.js';
import type { NodeState } from './node-state.js';
import { own } from './own.js';

/** No look of a model that fits a board takes that long: the engine hangs, and systemd's watchdog may end it. */
const HANGS_MS = 120_000;

export function checksOf({ lifecycle, modelState, watching }: NodeState, { cameras }: Config, connected: boolean): [Check, Check, Check] {
  const enabled = (watching?.cameras.all() ?? []).filter(({ id }) => own(cameras, id)?.enabled !== false);
  const fresh = enabled.filter(({ state }) => state === 'online');
  const lookingMs = watching?.loop.status().lookingMs ?? 0;
  const hangs = lookingMs > HANGS_MS;
  return [
    {
      name: 'engine',
      ok: modelState === 'ready' && lifecycle !== 'stopping' && !hangs,
      detail: hangs ? `looking for ${Math.round(lookingMs / 1000)} s` : modelState,
    },
    { name: 'cameras', ok: enabled.length === 0 || fresh.length > 0, detail: `${fresh.length} of ${enabled.length} online` },
    { name: 'broker', ok: connected, detail: connected ? 'online' : 'away' },
  ];
}
