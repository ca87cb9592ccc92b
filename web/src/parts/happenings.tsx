import type { Happening } from '../model.js';
import { changeWords, timeWords } from '../words.js';

/** What happened, the newest first. */
export function Happenings({ events, now }: { events: readonly Happening[]; now: number }) {
  if (events.length === 0) return <p class="soft">Nothing has happened since the node started.</p>;
  return (
    <ol class="happenings">
      {events.map((event) => (
        <li key={event.id}>
          <time dateTime={event.ts}>{timeWords(event.ts, now)}</time>{' '}
          {'watch' in event ? (
            <>
              <a href={`#/watch/${event.watch}`}>{event.watch}</a>: {changeWords(event.event_type, event.previous, event.value)}
              {event.error !== null && ` (${event.error.message})`}
            </>
          ) : (
            `${NODE_EVENTS[event.event_type] ?? event.event_type}: ${event.message}`
          )}
        </li>
      ))}
    </ol>
  );
}

const NODE_EVENTS: Record<string, string> = {
  started: 'The node started',
  stopping: 'The node stops',
  camera_lost: 'A camera is lost',
  camera_back: 'A camera is back',
  config_applied: 'The configuration changed',
  config_refused: 'A configuration was refused',
  overrides_dropped: 'Changes were dropped',
  setting_refused: 'A setting was refused',
};
