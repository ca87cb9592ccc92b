import { useEffect, useRef, useState } from 'preact/hooks';
import type { Info, Result } from '../../../src/mqtt/messages.js';
import { useNow, usePage, useStill } from '../hooks.js';
import { PictureDesk, type Shown } from '../pictures.js';
import { timeWords, valueWords } from '../words.js';
import { Badge, type BadgeKind } from './badge.js';
import { Value } from './value.js';

const STATES: Record<string, [BadgeKind, string]> = {
  online: ['good', 'Online'],
  offline: ['bad', 'Offline'],
  disabled: ['idle', 'Disabled'],
};

/** A camera: the newest frame that was looked at, and what its watches say about it. */
export function CameraCard({ camera, watches }: { camera: Info['cameras'][number]; watches: Info['watches'] }) {
  const { model } = usePage();
  const now = useNow();
  const still = useStill();
  const [shown, desk] = usePictures(camera.id, still);
  const own = watches.filter((watch) => watch.camera === camera.id);
  const results = Object.fromEntries(own.flatMap(({ id }) => model.result(id) ?? []).map((result): [string, Result] => [result.watch ?? '', result]));
  useEffect(() => desk.take(results, camera.images));
  const [kind, words] = STATES[model.cameraStatus(camera.id) ?? ''] ?? ['idle', 'Starting'];
  const health = model.health?.cameras[camera.id];
  const { picture } = shown;
  return (
    <section class="card camera" aria-labelledby={`camera-${camera.id}`}>
      <header>
        <h2 id={`camera-${camera.id}`}>{camera.id}</h2>
        <Badge kind={kind}>{words}</Badge>
        {model.moves(camera.id) && <Badge kind="warn">Moving</Badge>}
      </header>
      {picture === null ? (
        <p class="nopicture">{camera.images ? 'No picture yet' : 'Pictures of this camera are off (its setting images)'}</p>
      ) : (
        <figure>
          <img
            src={picture.url}
            data-frame={picture.frame}
            alt={`${camera.id} at ${timeWords(picture.ts, now)}. ${own.map(({ id, question }) => `${question} ${valueWords(shown.results[id]?.value)}.`).join(' ')}`}
          />
          <figcaption>
            <span>Frame of {timeWords(picture.ts, now)}</span>
            {still && (
              <button type="button" class="small" onClick={() => desk.ask()}>
                Show the newest
              </button>
            )}
          </figcaption>
        </figure>
      )}
      {health?.error != null && <p class="trouble">{health.error}</p>}
      {own.length === 0 && <p class="soft">No watch looks at this camera.</p>}
      <ul class="watches">
        {own.map(({ id, question, enabled }) => {
          const result = shown.results[id] ?? null;
          const isOther = picture !== null && result?.status === 'ok' && result.frame !== null && result.frame.id !== picture.frame;
          return (
            <li key={id} data-watch={id} data-frame={result?.frame?.id}>
              <h3>
                <a href={`#/watch/${id}`}>{question}</a>
              </h3>
              {enabled ? <Value result={result} now={now} /> : <p class="value none">disabled</p>}
              {isOther && result?.frame != null && <p class="soft">about another frame, of {timeWords(result.frame.ts, now)}</p>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** Pictures are decoded before they are shown. */
function usePictures(camera: string, still: boolean): [Shown, PictureDesk] {
  const [shown, setShown] = useState<Shown>({ picture: null, results: {} });
  const isStill = useRef(still);
  isStill.current = still;
  const [desk] = useState(
    () =>
      new PictureDesk({
        camera,
        load: async (url) => {
          const image = new Image();
          image.src = url;
          await image.decode();
        },
        onShown: setShown,
        follows: () => !isStill.current && !document.hidden,
      }),
  );
  useEffect(() => () => desk.close(), [desk]);
  return [shown, desk];
}
