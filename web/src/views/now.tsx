import { useNow, usePage } from '../hooks.js';
import { Badge } from '../parts/badge.js';
import { CameraCard } from '../parts/camera-card.js';
import { Happenings } from '../parts/happenings.js';

const SHOWN = 12;

export function NowView() {
  const { model } = usePage();
  const now = useNow();
  const { info, alerts } = model;
  if (info === null) return <p class="soft">Nothing is known of this node yet.</p>;
  const orphans = info.watches.filter(({ camera }) => !info.cameras.some(({ id }) => id === camera));
  return (
    <>
      <h1 class="hidden">Now</h1>
      {alerts.length > 0 && (
        <section aria-label="Alerts" class="alerts">
          {alerts.map(({ id, message }) => (
            <p key={id}>
              <Badge kind="bad">Alert</Badge> {message}
            </p>
          ))}
        </section>
      )}
      <div class={info.cameras.length === 1 ? 'cameras one' : 'cameras'}>
        {info.cameras.map((camera) => (
          <CameraCard key={camera.id} camera={camera} watches={info.watches} />
        ))}
      </div>
      {info.cameras.length === 0 && <p class="soft">This node has no camera: cameras stand in its configuration.</p>}
      {orphans.length > 0 && <p class="soft">Without a camera: {orphans.map(({ id }) => id).join(', ')}</p>}
      <section class="card" aria-labelledby="happened">
        <h2 id="happened">What happened</h2>
        <Happenings events={model.events.slice(0, SHOWN)} now={now} />
      </section>
    </>
  );
}
