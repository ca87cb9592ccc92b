// From samples to medians, ratios and shares of the machine's limits; as an object, and as text.

/** A ratio is the peer's time over ours of the same round: above 1 mipha-edge is faster. */
export function summarize({ samples, work, limits, facts, ...about }) {
  const stages = Object.entries(work)
    .filter(([stage]) => samples.some((sample) => sample.stage === stage))
    .map(([stage, { label, operations, bytes }]) => {
      const of = samples.filter((sample) => sample.stage === stage);
      const contenders = [...new Set(of.map(({ name }) => name))].map((name) => {
        const own = of.filter((sample) => sample.name === name);
        const ms = median(own.map((sample) => sample.ms));
        const does = facts[name].work?.[stage] ?? { operations, bytes };
        return { name, ms, samplesMs: own.map((sample) => sample.ms), ...does, ...sharesOf(does, ms, own, limits), ...ratiosOf(name, of) };
      });
      return { stage, label, contenders };
    });
  const rates = samples.map(({ readBytesPerSecond }) => readBytesPerSecond);
  const read = { leastReadBytesPerSecond: Math.min(...rates), mostReadBytesPerSecond: Math.max(...rates) };
  return { ...about, limits: { ...limits, ...read }, contenders: facts, stages, derived: derivedOf(stages) };
}

/** How much more a batch costs than one sequence, and at which share of the weights' rate each reads its cache. */
function derivedOf(stages) {
  const of = (wanted) => stages.find(({ stage }) => stage === wanted)?.contenders ?? [];
  const [one, eight] = [of('one decode')[0], of('eight decodes')[0]];
  const caches = of('decode, short').flatMap((short) => {
    const long = of('decode, long').find(({ name }) => name === short.name);
    if (long === undefined || long.bytes === short.bytes) return [];
    return [{ name: short.name, cacheRateOfWeights: ((long.bytes - short.bytes) * 1000) / (long.ms - short.ms) / short.perSecond }];
  });
  return { ...(one === undefined || eight === undefined ? {} : { eightDecodesOfOne: eight.ms / one.ms }), caches };
}

/** Of operations the share of the peak; of bytes the median of each sample's share of what memory gave beside it. */
function sharesOf({ operations, bytes }, ms, samples, { int8OperationsPerSecond: peak }) {
  const perSecond = ((operations ?? bytes) * 1000) / ms;
  if (operations !== undefined) return { perSecond, shareOfLimit: peak === 0 ? null : perSecond / peak };
  return { perSecond, shareOfLimit: median(samples.map((sample) => (bytes * 1000) / sample.ms / sample.readBytesPerSecond)) };
}

function ratiosOf(name, samples) {
  const ratios = samples
    .filter((sample) => sample.name === name && name !== 'ours')
    .flatMap(({ peer, round, ms }) => {
      const ours = samples.find((other) => other.name === 'ours' && other.peer === peer && other.round === round);
      return ours === undefined ? [] : [ms / ours.ms];
    });
  return ratios.length === 0 ? {} : { ratio: median(ratios), ratios };
}

export function render({ machine, size, layers, rounds, limits, contenders, stages, derived }) {
  const { processor, threads, node, date } = machine;
  const peak = limits.int8OperationsPerSecond === 0 ? 'INT8 peak not known' : `INT8 peak ${(limits.int8OperationsPerSecond / 1e12).toFixed(3)} TOPS`;
  const lines = [
    `${processor}, ${threads} threads, Node ${node}, ${date}; ${size}${layers === undefined ? '' : ` with ${layers} layers each`}, ${rounds} rounds, medians`,
    `read ${gigabytes(limits.leastReadBytesPerSecond)} to ${gigabytes(limits.mostReadBytesPerSecond)} GB/s, ${peak}`,
    '',
    ...Object.entries(contenders).map(
      ([name, { detail, loadMs, residentBytes }]) =>
        `${name.padEnd(13)} ${detail}; opened in ${(loadMs / 1000).toFixed(1)} s, ${(residentBytes / 1e9).toFixed(1)} GB resident`,
    ),
  ];
  for (const { label, contenders: own } of stages) {
    lines.push('', label);
    for (const { name, ms, operations, perSecond, shareOfLimit, ratio } of own) {
      const rate = operations === undefined ? `${gigabytes(perSecond)} GB/s` : `${(perSecond / 1e12).toFixed(3)} TOPS`;
      const share = shareOfLimit === null ? '' : `${(shareOfLimit * 100).toFixed(0)} %`;
      lines.push(
        `  ${name.padEnd(13)} ${`${ms.toFixed(ms < 100 ? 1 : 0)} ms`.padStart(10)} ${rate.padStart(11)} ${share.padStart(6)}${ratio === undefined ? '' : `   ${ratio.toFixed(2)} x ours`}`,
      );
    }
  }
  lines.push('');
  if (derived.eightDecodesOfOne !== undefined) lines.push(`a step of eight decodes takes ${derived.eightDecodesOfOne.toFixed(2)} times one`);
  for (const { name, cacheRateOfWeights } of derived.caches) {
    lines.push(`${name}: reads its cache at ${(cacheRateOfWeights * 100).toFixed(0)} % of the rate of its weights`);
  }
  return lines.join('\n');
}

function gigabytes(bytes) {
  return (bytes / 1e9).toFixed(1);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
