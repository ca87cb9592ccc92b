import type { Result } from '../../../src/mqtt/messages.js';
import { ageWords, durationWords, percent, valueWords } from '../words.js';

/** What a watch believes, how sure the last answer was, and until when it may be relied upon. */
export function Value({ result, now }: { result: Result | null; now: number }) {
  if (result === null) return <p class="value none">not known</p>;
  const { value, type, observed, confidence, valid_until, frame, error, status } = result;
  const leftMs = valid_until === null ? null : Date.parse(valid_until) - now;
  const isPast = leftMs !== null && leftMs <= 0;
  const shown = isPast ? null : value;
  return (
    <>
      <p class={shown === null ? 'value none' : `value ${type}`}>{valueWords(shown)}</p>
      <p class="soft">
        {status === 'error' && error !== null && `Cannot be asked: ${error.message}. `}
        {status === 'ok' && frame !== null && `seen ${ageWords(now - Date.parse(frame.ts))}`}
        {status === 'ok' && confidence !== null && (
          <>
            , <meter aria-label="Confidence" min={0} max={1} value={confidence} /> {percent(confidence)} sure
          </>
        )}
        {status === 'ok' && observed !== value && `, the last answer was ${valueWords(observed)}`}
        {status === 'stale' && 'no answer that may be relied upon'}
        {isPast && status === 'ok' && ', too long ago to rely on'}
        {!isPast && leftMs !== null && leftMs < 5000 && `, good for ${durationWords(leftMs)}`}
      </p>
    </>
  );
}
