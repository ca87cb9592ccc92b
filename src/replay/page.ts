/** A report as a page: no scripts, nothing from elsewhere, pictures in a folder beside it. */
import { SUPPRESS_REASONS } from '../watch/event.js';
import type { Both, Flip, ReplayedEvent, ReplayReport } from './report.js';
import type { Score } from './score.js';

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top }
ul.flips { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; list-style: none; padding: 0 }
ul.flips img { width: 100%; border-radius: .25rem } figure { margin: 0 }
`;

/** `pictures`: where the picture of a frame stands, relative to the page. `settings`: what was changed, in words. */
export function page(report: ReplayReport, settings: readonly string[], pictures: ReadonlyMap<string, string>): string {
  const { watch, flips, flipped, onlyBefore, onlyNow } = report;
  const more = flipped > flips.length ? `<p>The first ${flips.length} are shown.</p>` : '';
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Replay of ${escaped(watch)}</title>
<style>${STYLE}</style>
<h1>Replay of ${escaped(watch)}</h1>
<p>${settings.length === 0 ? 'With the settings on record.' : `With ${settings.map((each) => `<code>${escaped(each)}</code>`).join(', ')}.`}</p>
<table>${summary(report)
    .map(([name, value]) => `<tr><th>${escaped(name)}<td>${escaped(value)}`)
    .join('')}</table>
<h2>Answers that flip: ${flipped}</h2>${more}
<ul class="flips">${flips.map((flip) => figure(flip, pictures.get(flip.frame))).join('')}</ul>
<h2>Events only on record: ${onlyBefore.length}</h2>${list(onlyBefore)}
<h2>Events only now: ${onlyNow.length}</h2>${list(onlyNow)}
</html>
`;
}

/** The numbers, for people: name and value. */
export function summary(report: ReplayReport): [name: string, value: string][] {
  const { from, to, days, lives, frames, questions, computed, compared, flipped, events, suppressed, labels, damaged, missingPictures } = report;
  const perDay = ({ before, now }: Both<number>) => `${rate(before, days)} on record, ${rate(now, days)} now`;
  const rows: [string, string][] = [
    [
      'recorded',
      from === null || to === null
        ? 'nothing in this time'
        : `${from.toISOString()} to ${to.toISOString()}, ${hours(days)}${lives === 1 ? '' : ` in ${lives} parts`}`,
    ],
    ['frames', String(frames)],
    ['questions a day', perDay(questions)],
    ['answers', `${compared} compared, ${flipped} flip; ${computed} computed now`],
    ['events', `${events.before} on record, ${events.now} now`],
    ['events a day', perDay(events)],
  ];
  for (const reason of SUPPRESS_REASONS) {
    const [before, now] = [suppressed.before[reason], suppressed.now[reason]];
    if (before + now > 0) rows.push([`suppressed: ${reason}`, `${before} on record, ${now} now`]);
  }
  if (labels !== null) {
    const { positive, score, best, missCost, notAsked } = labels;
    rows.push(['labels', `${score.now.labelled} used, ${notAsked} of answers that are not asked for now`]);
    rows.push([`"${positive}" on record`, words(score.before)], [`"${positive}" now`, words(score.now)]);
    const at = best.minConfidence === null ? 'never saying it' : `min_confidence ${best.minConfidence}`;
    rows.push([`best where a miss costs ${missCost}`, `${at}: ${words(best.score)}`]);
  }
  if (damaged > 0) rows.push(['lines that cannot be read', String(damaged)]);
  if (missingPictures > 0) rows.push(['pictures missing', String(missingPictures)]);
  return rows;
}

function words({ precision, recall, hits, falseAlarms, misses }: Score): string {
  const percent = (share: number | null) => (share === null ? '–' : `${(100 * share).toFixed(1)} %`);
  return `precision ${percent(precision)}, recall ${percent(recall)} (${hits} right, ${falseAlarms} false alarms, ${misses} missed)`;
}

function rate(count: number, days: number): string {
  return days === 0 ? '–' : (count / days).toLocaleString('en', { maximumSignificantDigits: 3 });
}

function hours(days: number): string {
  return days >= 2 ? `${days.toFixed(1)} days` : days * 24 >= 2 ? `${(days * 24).toFixed(1)} hours` : `${(days * 1440).toFixed(1)} minutes`;
}

function figure({ frame, at, before, now }: Flip, picture: string | undefined): string {
  const alt = `Frame ${frame}`;
  const image = picture === undefined ? '<p>No picture was recorded.</p>' : `<img src="${escaped(picture)}" alt="${escaped(alt)}" loading="lazy">`;
  const sure = (confidence: number | null) => (confidence === null ? '' : ` (${confidence.toFixed(2)})`);
  const change = `${before.value}${sure(before.confidence)} → ${now.value}${sure(now.confidence)}`;
  return `<li><figure>${image}<figcaption>${escaped(at.toISOString())}<br>${escaped(change)}<br><small>${escaped(before.id)}</small></figcaption></figure>`;
}

function list(events: readonly ReplayedEvent[]): string {
  if (events.length === 0) return '';
  const rows = events.map(
    ({ at, type, previous, value }) => `<tr><td>${at.toISOString()}<td>${escaped(type)}<td>${escaped(`${previous} → ${value}`)}`,
  );
  return `<table>${rows.join('')}</table>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
