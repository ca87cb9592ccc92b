import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { percent, timeWords } from '../words.js';
import { Scroll } from './scroll.js';

export interface Curve {
  label: string;
  values: (number | null)[];
  /** In words, for the axis, the legend and the table. */
  words: (value: number | null) => string;
  stepped?: boolean;
  /** A share from 0 to 1, with an axis of its own. */
  isShare?: boolean;
  color: 'one' | 'two';
}

/** Curves over time, with a table behind them. `times`: Unix seconds, ascending. */
export function Chart({ title, times, curves, range }: { title: string; times: number[]; curves: Curve[]; range?: [number, number] | undefined }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = JSON.stringify([title, range, curves.map(({ label }) => label)]);
  const now = useRef(curves);
  now.current = curves;
  const data = [times, ...curves.map(({ values }) => values)] as uPlot.AlignedData;
  // only another shape makes another plot
  useEffect(() => {
    const { current: element } = place;
    if (element === null) return;
    const styles = getComputedStyle(element);
    const color = (name: string) => styles.getPropertyValue(name).trim();
    const axis = {
      stroke: color('--soft'),
      grid: { stroke: color('--line'), width: 1 },
      ticks: { stroke: color('--line'), width: 1 },
      font: '12px system-ui',
    };
    const axes: uPlot.Axis[] = [
      { ...axis, space: 90, values: (_, splits) => splits.map((at) => clock(at)) },
      { ...axis, size: 70, values: (_, splits) => splits.map((value) => now.current[0]?.words(value) ?? '') },
      { ...axis, scale: 'share', side: 1, size: 62, grid: { show: false }, values: (_, splits) => splits.map((share) => percent(share)) },
    ];
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 180,
        series: [
          {},
          ...curves.map(
            (curve, i): uPlot.Series => ({
              label: curve.label,
              stroke: color(`--curve-${curve.color}`),
              scale: curve.isShare === true ? 'share' : 'y',
              width: 2,
              ...(i > 0 ? { dash: [5, 4] } : {}), // never told apart by colour alone
              points: { show: times.length < 60, size: 5 },
              spanGaps: false,
              ...(curve.stepped === true ? { paths: uPlot.paths.stepped?.({ align: 1 }) as uPlot.Series.PathBuilder } : {}),
            }),
          ),
        ],
        axes: axes.slice(0, curves.some(({ isShare }) => isShare) ? 3 : 2),
        scales: {
          y: range === undefined ? { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } : { range },
          share: { range: [-0.1, 1.1] },
        },
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
      },
      data,
      element,
    );
    plot.current = made;
    const sizes = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 180 }));
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData(data);
  });
  const rows = times.map((_, i) => i).reverse();
  return (
    <figure class="chart">
      <figcaption>
        {curves.map(({ label, color }, i) => (
          <span key={label} class={`key curve-${color}${i > 0 ? ' dashed' : ''}`}>
            {label}
          </span>
        ))}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}: the table below has the numbers`} />
      <details>
        <summary>As a table</summary>
        <Scroll label={`${title}, a table`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {curves.map(({ label }) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, 200).map((i) => (
                <tr key={times[i]}>
                  <td>{timeWords(new Date((times[i] as number) * 1000).toISOString())}</td>
                  {curves.map(({ label, values, words }) => (
                    <td key={label}>{words(values[i] ?? null)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </figure>
  );
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function clock(at: number): string {
  return CLOCK.format(new Date(at * 1000));
}
