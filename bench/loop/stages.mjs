// Where the time of an answer goes, stage by stage: of loop.mjs.

/** Notes when looks and questions begin and end. `watches` are those that ask, by id. */
export function traced(watches) {
  const frames = new Map(); // by id: when it was captured and looked at, and when each watch had its answer
  const newest = new WeakMap(); // by their pixels: looks get no more of a frame
  const asking = new Map(Object.entries(watches).map(([id, { question }]) => [question, id]));
  return {
    frames,
    captured: (frame) => newest.set(frame.data.buffer, frame),
    async look(look, picture, ...rest) {
      const { id, monotonicMs } = newest.get(picture.data.buffer) ?? {}; // none: it came before anybody noted
      const noted = { capturedMs: monotonicMs, beganMs: performance.now(), seenMs: 0, answeredMs: new Map() };
      frames.set(id, noted);
      const seen = await look(picture, ...rest);
      noted.seenMs = performance.now();
      const ask = seen.ask.bind(seen);
      seen.ask = async (question, ...options) => {
        const answer = await ask(question, ...options);
        noted.answeredMs.set(asking.get(question), performance.now());
        return answer;
      };
      return seen;
    },
  };
}

/** A table of quantiles, as text. `answers`: what the subscriber noted of each result. */
export function stagesOf({ frames }, answers) {
  const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  const stages = answers.flatMap(({ frame, watch, ageMs, timing, atNs }) => {
    const noted = frames.get(frame);
    if (noted === undefined) return [];
    const { capturedMs, beganMs, seenMs, answeredMs } = noted;
    const arrivedMs = Number(BigInt(atNs)) / 1e6 - offsetMs;
    return {
      'until it is looked at': beganMs - capturedMs,
      'look at it': seenMs - beganMs,
      'ask and answer': answeredMs.get(watch) - seenMs,
      'make a message of it': capturedMs + ageMs - answeredMs.get(watch),
      'by way of the broker': arrivedMs - capturedMs - ageMs,
      'all of it': arrivedMs - capturedMs,
      'the model alone': timing.prep_ms + timing.vision_ms + timing.prefill_ms + timing.decode_ms,
    };
  });
  const names = Object.keys(stages[0] ?? {});
  return names
    .map((name) => {
      const sorted = stages.map((stage) => stage[name]).sort((a, b) => a - b);
      const at = (share) => sorted[Math.floor(share * (sorted.length - 1))].toFixed(1).padStart(6);
      return `    ${name.padEnd(22)} p50 ${at(0.5)}   p95 ${at(0.95)}   p99 ${at(0.99)}`;
    })
    .join('\n');
}
