/** The Grafana dashboard and the alert rules of examples/ speak of the metrics that a node has. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Metrics } from '../../src/service/metrics.js';
import { ROOT } from '../cli/run.js';

interface Dashboard {
  panels: { id: number; title: string; targets: { expr: string; legendFormat: string }[]; gridPos: { x: number; y: number; w: number; h: number } }[];
}
interface Rules {
  groups: { rules: { alert: string; expr: string; labels: { severity: string }; annotations: { summary: string } }[] }[];
}

const dashboard = JSON.parse(await readFile(join(ROOT, 'examples', 'grafana.json'), 'utf8')) as Dashboard;
const { groups } = parse(await readFile(join(ROOT, 'examples', 'prometheus-alerts.yaml'), 'utf8')) as Rules;
const rules = groups.flatMap(({ rules }) => rules);
const shown = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

/** Metric → type, and the labels that a scrape of everything there can be shows, without `le`. */
async function metrics(): Promise<Map<string, { type: string; labels: Set<string> }>> {
  const node = new Metrics({
    version: '0',
    snapshot: () => ({
      cameras: [{ id: 'c', up: true, frames: 1, dropped: { newer: 1 }, frameAgeMs: 1, restarts: 1 }],
      watches: [{ id: 'w', events: 1, suppressed: { quiet: 1 } }],
      queue: { waiting: 1, rejected: { QUEUE_FULL: 1 } },
      engine: { busyRatio: 1 },
      models: [{ id: 'm', sha256: 's', release: '' }],
      mqtt: {
        connected: true,
        reconnects: 1,
        published: { 0: 1 },
        dropped: { offline: 1 },
        pictures: { published: 1, waiting_bytes: 1, dropped: { late: 1 } },
      },
      temperatures: { zone: 1 },
      rails: { rail: 1 },
      joules: 1,
      throttled: ['device'],
      overCurrents: { kind: 1 },
      memoryBytes: 1,
      recorder: { bytes: 1, segments: 1, queued: { lines: 1, bytes: 1 }, lost: { full: { frames: 1, lines: 1 } }, picturesDropped: 1 },
      log: { dropped: 1 },
    }),
  });
  node.answered({
    watch: 'w',
    status: 'ok',
    timing: { queueMs: 1, prepMs: 1, visionMs: 1, prefillMs: 1, decodeMs: 1, totalMs: 1 },
    tokens: { in: 1, out: 1 },
  });
  node.modelChanged('rolled_back', true);
  const { text } = await node.scrape();
  const found = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name as string, { type: type as string, labels: new Set<string>() }]),
  );
  for (const [, name, labels] of text.matchAll(/^(mipha_\w+)\{(.*)\} /gm)) {
    const metric = found.get(name as string) ?? found.get((name as string).replace(/_(bucket|sum|count)$/, ''));
    for (const [, label] of (labels as string).matchAll(/(\w+)="/g)) if (label !== 'le') metric?.labels.add(label as string);
  }
  return found;
}

/** Names of an expression, and whether the metric is used as what it is: counters and histograms through a rate. */
function namesOf(expr: string): { name: string; part: string }[] {
  return [...expr.matchAll(/\b(mipha_\w+?)(_bucket|_sum|_count)?(?=[^\w])/g)].map(([, name, part = '']) => ({ name: name as string, part }));
}

describe.each([
  ['examples/grafana.json', shown],
  ['examples/prometheus-alerts.yaml', rules.map(({ expr }) => expr)],
])('%s', (_, expressions) => {
  it('names only metrics that a node has', async () => {
    const known = await metrics();
    const used = expressions.flatMap((expr) => namesOf(`${expr} `));
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter(({ name, part }) => known.get(name) === undefined || (part !== '' && known.get(name)?.type !== 'histogram'))).toEqual([]);
  });

  it('names only labels that they have', async () => {
    const known = await metrics();
    const wrong = expressions.flatMap((expr) => {
      const labels = new Set(['instance', 'job', 'le', ...namesOf(`${expr} `).flatMap(({ name }) => [...(known.get(name)?.labels ?? [])])]);
      const used = [...expr.matchAll(/by \(([^)]*)\)|on\(([^)]*)\)/g)].flatMap(([, by, on]) =>
        (by ?? on ?? '').split(',').map((name) => name.trim()),
      );
      const matched = [...expr.matchAll(/(\w+)=~?"|(\w+)!="/g)].map(([, is, not]) => is ?? (not as string));
      return [...used, ...matched].filter((label) => !labels.has(label)).map((label) => `${label} in ${expr}`);
    });
    expect(wrong).toEqual([]);
  });

  it('takes counters by their rate', async () => {
    const known = await metrics();
    const bare = expressions.filter(
      (expr) =>
        namesOf(`${expr} `).some(({ name }) => ['counter', 'histogram'].includes(known.get(name)?.type ?? '')) && !/(rate|increase)\(/.test(expr),
    );
    expect(bare).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('shows every metric', async () => {
    const used = new Set(shown.flatMap((expr) => namesOf(`${expr} `).map(({ name }) => name)));
    expect([...(await metrics()).keys()].filter((name) => name.startsWith('mipha_') && !used.has(name))).toEqual([]);
  });

  it('has panels that do not lie on one another', () => {
    const cells = dashboard.panels.flatMap(({ title, gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => ({ title, cell: `${x + (i % w)},${y + Math.floor(i / w)}`, inside: x + w <= 24 })),
    );
    expect(cells.filter(({ inside }) => !inside)).toEqual([]);
    expect(new Set(cells.map(({ cell }) => cell)).size).toBe(cells.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});

describe('the alert rules', () => {
  it('each say how bad it is and what happened where', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { labels, annotations } of rules) {
      expect(['warning', 'critical']).toContain(labels.severity);
      expect(annotations.summary).toContain('{{ $labels.instance }}');
    }
  });
});
