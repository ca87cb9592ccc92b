import { useEffect, useRef, useState } from 'preact/hooks';
import type { Crop } from '../../../src/camera/frame.js';
import { usePage } from '../hooks.js';
import { pictureUrl } from '../pictures.js';
import { fresh, moved, type Point, type Polygon, split, without } from '../polygons.js';
import { percent } from '../words.js';

type Kind = 'zone' | 'ignore' | 'privacy';
const KINDS: [Kind, string, string][] = [
  ['zone', 'Zone', 'the watch looks only here'],
  ['ignore', 'Ignore', 'the watch does not look here'],
  ['privacy', 'Privacy', 'black for everybody; of the camera, so it stands in the configuration file'],
];
const STEP = 0.01;

interface Props {
  camera: string;
  watch: string;
  zone: Polygon[];
  ignore: Polygon[];
  privacy: Polygon[];
  /** Drawn too, not edited here. */
  crop: Crop | undefined;
  onChange: (kind: 'zone' | 'ignore', polygons: Polygon[]) => void;
}

/** Polygons over the newest picture: corners are dragged, or moved with the arrow keys. */
export function MaskEditor({ camera, watch, zone, ignore, privacy, crop, onChange }: Props) {
  const { model } = usePage();
  const [kind, setKind] = useState<Kind>('zone');
  const [secret, setSecret] = useState(privacy);
  const [picture, setPicture] = useState<string | null>(null);
  const place = useRef<HTMLDivElement>(null);
  const frame = model.info?.cameras.find(({ id }) => id === camera)?.images ? model.result(watch)?.frame?.id : undefined;
  const polygons = kind === 'zone' ? zone : kind === 'ignore' ? ignore : secret;
  const change = (next: Polygon[]) => (kind === 'privacy' ? setSecret(next) : onChange(kind, next));
  const take = () => frame !== undefined && setPicture(pictureUrl(camera, frame));
  useEffect(() => {
    if (picture === null) take();
  }, [frame]);
  const pointAt = (event: PointerEvent): Point => {
    const { left, top, width, height } = (place.current as HTMLElement).getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };
  const drag = (polygon: number, point: number) => (event: PointerEvent) => {
    if (event.button !== 0) return;
    const follow = (moving: PointerEvent) => change(moved(polygons, polygon, point, pointAt(moving)));
    const end = () => {
      removeEventListener('pointermove', follow);
      for (const name of ['pointerup', 'pointercancel']) removeEventListener(name, end);
    };
    addEventListener('pointermove', follow);
    for (const name of ['pointerup', 'pointercancel']) addEventListener(name, end);
  };
  const press =
    (polygon: number, point: number, [x, y]: Point) =>
    (event: KeyboardEvent) => {
      const step = event.shiftKey ? 10 * STEP : STEP;
      const to: Record<string, Point> = { ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step] };
      const at = to[event.key];
      if (at !== undefined) change(moved(polygons, polygon, point, at));
      else if (event.key === 'Delete' || event.key === 'Backspace') change(without(polygons, polygon, point));
      else if (event.key === '+') change(split(polygons, polygon, point));
      else return;
      event.preventDefault();
    };
  return (
    <fieldset class="masks">
      <legend>Where it looks</legend>
      <p class="tabs">
        {KINDS.map(([name, words, hint]) => (
          <label key={name} class="inline">
            <input type="radio" name="mask" checked={kind === name} onChange={() => setKind(name)} /> {words} <span class="soft">{hint}</span>
          </label>
        ))}
      </p>
      <div class={`canvas ${kind}`} ref={place}>
        {picture === null ? (
          <p class="nopicture">No picture to draw on</p>
        ) : (
          <img src={picture} draggable={false} alt={`${camera}, to draw on`} onError={() => setPicture(null)} />
        )}
        <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
          {crop !== undefined && <rect class="crop" {...{ x: crop.x, y: crop.y, width: crop.width, height: crop.height }} />}
          {polygons.map((points, i) => (
            <polygon key={i} points={points.map(([x, y]) => `${x},${y}`).join(' ')} />
          ))}
        </svg>
        {polygons.flatMap((points, i) =>
          points.map(([x, y], j) => (
            <button
              key={`${i} ${j}`}
              type="button"
              class="corner"
              style={{ left: `${100 * x}%`, top: `${100 * y}%` }}
              aria-label={`Corner ${j + 1} of ${kind} ${i + 1}: ${percent(x)} from the left, ${percent(y)} from the top`}
              aria-describedby="mask-keys"
              onPointerDown={drag(i, j)}
              onDblClick={() => change(split(polygons, i, j))}
              onKeyDown={press(i, j, [x, y])}
            />
          )),
        )}
      </div>
      <p class="buttons">
        <button type="button" class="small" onClick={() => change([...polygons, fresh(polygons.length)])}>
          Add {kind === 'ignore' ? 'an area to ignore' : kind === 'zone' ? 'a zone' : 'a private area'}
        </button>
        {polygons.length > 0 && (
          <button type="button" class="small quiet" onClick={() => change(polygons.slice(0, -1))}>
            Remove the last
          </button>
        )}
        <button type="button" class="small quiet" onClick={take}>
          Newest picture
        </button>
      </p>
      <p class="soft" id="mask-keys">
        Drag corners, or move them with the arrow keys (with Shift further). + adds a corner, Delete takes one away.
      </p>
      {kind === 'privacy' && (
        <>
          <p>What is private cannot be changed from here. For the configuration file:</p>
          <pre>{`cameras:\n  ${camera}:\n    privacy: ${JSON.stringify(secret)}`}</pre>
        </>
      )}
    </fieldset>
  );
}
