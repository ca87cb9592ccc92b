import { describe, expect, it } from 'vitest';
import { Metrics, type MetricsSnapshot } from '../../src/service/metrics.js';

const snapshot: MetricsSnapshot = {
  cameras: [
    { id: 'front', up: true, frames: 100, dropped: { newer: 7, unread: 2 }, frameAgeMs: 125, restarts: 3 },
    { id: 'back', up: false, frames: 0, dropped: {}, frameAgeMs: null, restarts: 0 },
  ],
  watches: [{ id: 'lamp', events: 12, suppressed: { quiet: 13 } }],
  queue: { waiting: 2, rejected: { QUEUE_FULL: 4 } },
  engine: { busyRatio: 0.25 },
  models: [{ id: 'nano', sha256: 'abc', release: '2026.11.1' }],
  mqtt: {
    connected: true,
    reconnects: 1,
    published: { 0: 5, 1: 9 },
    dropped: { offline: 6 },
    pictures: { published: 11, waiting_bytes: 1200, dropped: { late: 2 } },
  },
  temperatures: { 'cpu-thermal': 41.5 },
  rails: {},
  joules: 1234.5,
  throttled: ['gpu-throttle-alert'],
  overCurrents: { under_voltage: 3 },
  memoryBytes: 123_456,
  recorder: { bytes: 5000, segments: 3, queued: { lines: 1, bytes: 700 }, lost: { full: { frames: 4, lines: 2 } }, picturesDropped: 6 },
  log: { dropped: 8 },
};
const timing = { queueMs: 1, prepMs: 2, visionMs: 3, prefillMs: 4, decodeMs: 5, totalMs: 15 };

function samples(text: string): Record<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket'));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

describe('metrics', () => {
  it('show the snapshot and what was counted, scrape after scrape', async () => {
    let now = snapshot;
    const metrics = new Metrics({ version: '1.2.3', snapshot: () => now });
    metrics.answered({ watch: 'door', status: 'ok', timing, tokens: { in: 20, out: 1 } });
    metrics.answered({ watch: 'door', status: 'error', timing: null, tokens: null });
    metrics.answered({ watch: null, status: 'ok', timing, tokens: { in: 10, out: 30 } });
    const expected = {
      [`mipha_build_info{version="1.2.3",node="${process.versions.node}"}`]: 1,
      'mipha_queries_total{watch="door",status="ok"}': 1,
      'mipha_queries_total{watch="door",status="error"}': 1,
      'mipha_queries_total{watch="query",status="ok"}': 1,
      'mipha_tokens_total{direction="in"}': 30,
      'mipha_tokens_total{direction="out"}': 31,
      'mipha_query_duration_seconds_count{stage="total"}': 2,
      'mipha_query_duration_seconds_sum{stage="total"}': 0.03,
      'mipha_query_duration_seconds_count{stage="vision"}': 2,
      'mipha_frames_captured_total{camera="front"}': 100,
      'mipha_frames_dropped_total{camera="front",reason="newer"}': 7,
      'mipha_frames_dropped_total{camera="front",reason="unread"}': 2,
      'mipha_frame_age_seconds{camera="front"}': 0.125,
      'mipha_camera_up{camera="front"}': 1,
      'mipha_camera_up{camera="back"}': 0,
      'mipha_camera_reconnects_total{camera="front"}': 3,
      mipha_queue_depth: 2,
      'mipha_queue_rejected_total{reason="QUEUE_FULL"}': 4,
      mipha_engine_busy_ratio: 0.25,
      'mipha_model_info{id="nano",sha256="abc",release="2026.11.1"}': 1,
      mipha_mqtt_connected: 1,
      mipha_mqtt_reconnects_total: 1,
      'mipha_mqtt_published_total{qos="0"}': 5,
      'mipha_mqtt_published_total{qos="1"}': 9,
      'mipha_mqtt_dropped_total{reason="offline"}': 6,
      'mipha_watch_events_total{watch="lamp"}': 12,
      'mipha_watch_events_suppressed_total{watch="lamp",reason="quiet"}': 13,
      mipha_event_pictures_total: 11,
      'mipha_event_pictures_dropped_total{reason="late"}': 2,
      mipha_event_pictures_waiting_bytes: 1200,
      'mipha_soc_temperature_celsius{zone="cpu-thermal"}': 41.5,
      mipha_energy_joules_total: 1234.5,
      'mipha_throttled{device="gpu-throttle-alert"}': 1,
      'mipha_over_currents_total{kind="under_voltage"}': 3,
      mipha_memory_used_bytes: 123_456,
      mipha_recorder_bytes: 5000,
      mipha_recorder_segments: 3,
      mipha_recorder_queued_bytes: 700,
      'mipha_recorder_lost_lines_total{reason="full"}': 2,
      'mipha_recorder_lost_pictures_total{reason="full"}': 4,
      'mipha_recorder_lost_pictures_total{reason="not_encoded"}': 6,
      mipha_log_dropped_total: 8,
    };
    expect(samples((await metrics.scrape()).text)).toMatchObject(expected);
    const again = await metrics.scrape(); // totals are totals, however often they are read
    expect(samples(again.text)).toMatchObject(expected);
    expect(samples(again.text)).not.toHaveProperty('mipha_frame_age_seconds{camera="back"}');
    expect(again.contentType).toContain('text/plain');

    now = { ...snapshot, cameras: [], recorder: null };
    const { text } = await metrics.scrape();
    expect(text).not.toContain('camera="front"');
    expect(samples(text)).not.toHaveProperty('mipha_recorder_lost_pictures_total{reason="full"}');
    expect(metrics.answers).toBe(2);
  });

  it('are named as Prometheus asks', async () => {
    const { text } = await new Metrics({ version: '1', snapshot: () => ({ ...snapshot, rails: { VDD_IN: 7.5 } }) }).scrape();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type] as [string, string]);
    expect(types.length).toBeGreaterThan(18);
    for (const [name, type] of types) {
      expect(name).toMatch(/^mipha_[a-z0-9_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
    }
    expect(samples(text)).toHaveProperty('mipha_power_watts{rail="VDD_IN"}', 7.5);
  });

  it('stay bounded though watches come and go for years', async () => {
    const metrics = new Metrics({ version: '1', snapshot: () => snapshot });
    for (let n = 0; n < 5000; n++) metrics.answered({ watch: `w${n}`, status: 'ok', timing: null, tokens: null });
    const series = Object.entries(samples((await metrics.scrape()).text)).filter(([name]) => name.startsWith('mipha_queries_total'));
    expect(series).toHaveLength(513);
    expect(series.find(([name]) => name.includes('"other"'))?.[1]).toBe(4488);
  });
});
