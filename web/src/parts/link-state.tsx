import { useNow, usePage } from '../hooks.js';
import { durationWords } from '../words.js';
import { Badge } from './badge.js';

/** Whether what is shown is true: of this page to the node, and of the node to its broker. */
export function LinkState() {
  const { model, connection } = usePage();
  useNow();
  const { link, lostAt } = connection;
  if (link === 'lost')
    return (
      <p class="link" role="status">
        <Badge kind="bad">Not connected</Badge> {lostAt !== null && <span class="soft">for {durationWords(Date.now() - lostAt)}; trying again</span>}
      </p>
    );
  if (link !== 'connected')
    return (
      <p class="link" role="status">
        <Badge kind="idle">Connecting</Badge>
      </p>
    );
  const isAway = model.health?.mqtt.connected === false;
  return (
    <p class="link" role="status">
      {isAway && <Badge kind="warn">Broker away</Badge>} <Badge kind="good">Connected</Badge>
    </p>
  );
}
