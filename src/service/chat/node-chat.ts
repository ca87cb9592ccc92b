/** Chat completions of a node: its cameras, its lane, its rules. */
import type { ChatAnswer } from '../../http/answerer.js';
import { Problem } from '../../http/problem.js';
import type { RequestError } from '../../mqtt/request-error.js';
import type { Changer } from '../changer.js';
import type { Metrics } from '../metrics.js';
import type { NodeState } from '../node-state.js';
import { Chat } from './chat.js';
import { freshFrame, MAX_AGE_MS } from './newest-frame.js';

/** Nobody knows how long; a client that asks again so much later is no burden. */
const DRAINING_MS = 30_000;

export function nodeChat(state: NodeState, changer: Changer, metrics: Metrics): Chat {
  return new Chat({
    sources: () => {
      const { model, watching, lifecycle } = state;
      return model === null || watching === null || lifecycle === 'stopping' ? null : { model, lane: watching.queries.lane, kept: watching.kept };
    },
    guest: true,
    deadlineMs: () => changer.config.requests.deadline_ms,
    frame: (name, maxAgeMs = MAX_AGE_MS, param) => {
      const cameras = state.watching?.cameras;
      const camera = cameras?.get(name);
      if (camera === undefined) {
        const known = cameras?.all().map(({ id }) => id);
        throw new Problem(400, `${param}: expected one of the cameras ${known?.join(', ') || '(there is none)'}`, { code: 'unknown_camera', param });
      }
      try {
        return freshFrame(camera, maxAgeMs);
      } catch (error) {
        const { message, code } = error as RequestError;
        const mipha = { code: 'ERR_CAMERA' as const, retryable: true };
        throw new Problem(503, message, { code: code.toLowerCase(), param, retryAfterMs: 1000, mipha, cause: error });
      }
    },
    checkAllowed: () => {
      if (changer.config.draining)
        throw new Problem(503, 'This node takes no new questions (its option draining is on)', { code: 'draining', retryAfterMs: DRAINING_MS });
      if (changer.config.requests.queries) return;
      throw new Problem(403, 'This node answers only the questions of its watches (requests.queries)', { code: 'forbidden' });
    },
    onAnswered: (answer) => metrics.answered({ watch: null, status: answer === null ? 'error' : 'ok', ...counted(answer) }),
  });
}

function counted(answer: ChatAnswer | null): Pick<Parameters<Metrics['answered']>[0], 'timing' | 'tokens'> {
  if (answer === null) return { timing: null, tokens: null };
  const { queue_ms, prep_ms, vision_ms, prefill_ms, decode_ms, total_ms } = answer.timings;
  const timing = { queueMs: queue_ms, prepMs: prep_ms, visionMs: vision_ms, prefillMs: prefill_ms, decodeMs: decode_ms, totalMs: total_ms };
  return { timing, tokens: { in: answer.tokens.prompt, out: answer.tokens.answer } };
}
