/** What the files of nvpmodel, which sets the power mode of a Jetson, say. Pure: the caller reads them. */

export interface PowerMode {
  name: string; // "MAXN", "15W"
  id: number;
}

/** The modes of /etc/nvpmodel.conf. Their numbers differ between boards. */
export function powerModes(conf: string): PowerMode[] {
  return [...conf.matchAll(/<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>/g)].map(([, id, name]) => ({ name: name as string, id: Number(id) }));
}

/** /var/lib/nvpmodel/status, "pmode:0002 fmode:quiet": the number of the mode that is on. null: not that file. */
export function presentModeId(status: string): number | null {
  const match = /\bpmode:(\d+)/.exec(status);
  return match === null ? null : Number(match[1]);
}
