import type { QuietPeriod } from '../../../src/watch/spec.js';
import { usePage, useWritten } from '../hooks.js';
import { valueAt } from '../spec.js';
import { described, Issue, useDraft } from './fields.js';

const PATH = 'events.quiet';
const DAYS = { mon: 'Mon', tue: 'Tue', wed: 'Wed', thu: 'Thu', fri: 'Fri', sat: 'Sat', sun: 'Sun' } as const;
type Day = keyof typeof DAYS;
const ALL = Object.keys(DAYS) as Day[];
const FRESH: QuietPeriod = { from: '22:00', to: '06:30' };

/** Periods in which nothing is told, by the clock on the wall where the node is. */
export function QuietHours() {
  const draft = useDraft();
  const { model } = usePage();
  const periods = (valueAt(draft.spec, PATH) ?? []) as QuietPeriod[];
  const set = (next: QuietPeriod[]) => draft.set(PATH, next);
  const change = (index: number, more: Partial<QuietPeriod>) => set(periods.map((period, i) => (i === index ? { ...period, ...more } : period)));
  return (
    <fieldset class="periods">
      <legend>
        Quiet hours <span class="soft">{model.info?.timezone}</span>
      </legend>
      {periods.map((period, i) => (
        <Period key={i} index={i} period={period} onChange={(more) => change(i, more)} onRemove={() => set(periods.filter((_, j) => j !== i))} />
      ))}
      <p class="buttons">
        <button type="button" class="small" onClick={() => set([...periods, FRESH])}>
          Add quiet hours
        </button>
      </p>
      <Issue path={PATH} />
    </fieldset>
  );
}

interface PeriodProps {
  index: number;
  period: QuietPeriod;
  onChange: (more: Partial<QuietPeriod>) => void;
  onRemove: () => void;
}

function Period({ index, period, onChange, onRemove }: PeriodProps) {
  const which = `of quiet hours ${index + 1}`;
  const days = new Set<Day>(period.days ?? ALL);
  const toggle = (day: Day) => {
    const chosen = ALL.filter((each) => (each === day ? !days.has(each) : days.has(each)));
    onChange({ days: chosen.length === ALL.length ? undefined : chosen });
  };
  return (
    <div class="period">
      {(['from', 'to'] as const).map((side) => (
        <Time
          key={side}
          path={`${PATH}.${index}.${side}`}
          label={side === 'from' ? 'From' : 'to (24:00 ends a day)'}
          time={period[side]}
          onChange={(time) => onChange({ [side]: time })}
        />
      ))}
      <fieldset>
        <legend class="hidden">Days {which}</legend>
        {ALL.map((day) => (
          <label key={day} class="inline">
            <input type="checkbox" checked={days.has(day)} onChange={() => toggle(day)} /> {DAYS[day]}
          </label>
        ))}
        <Issue path={`${PATH}.${index}.days`} />
      </fieldset>
      <button type="button" class="small quiet" onClick={onRemove} aria-label={`Remove ${which.slice('of '.length)}`}>
        Remove
      </button>
    </div>
  );
}

function Time({ path, label, time, onChange }: { path: string; label: string; time: string; onChange: (time: string) => void }) {
  return (
    <p>
      <label for={path}>{label}</label>
      <input id={path} size={5} maxLength={5} {...described(useDraft(), path)} {...useWritten(time, onChange)} />
      <Issue path={path} />
    </p>
  );
}
