/** What was found, and how it is written into a configuration. */

export interface LocalCamera {
  kind: 'v4l2' | 'csi';
  /** As it stands in a configuration. */
  uri: string;
  name: string; // of the driver
}

export interface OnvifStream {
  /** `rtsp://…`, without a login. */
  uri: string;
  profile: string;
  encoding: string | null; // "H264"
  width: number | null; // pixels
  height: number | null;
}

export interface OnvifCamera {
  kind: 'onvif';
  /** That answered. */
  address: string;
  name: string;
  /** Of the maker: model or board. */
  hardware: string | null;
  /** Largest picture first. */
  streams: OnvifStream[];
  /** Why there are no streams; null: there are. */
  problem: string | null;
  /** `problem` is a missing or wrong login. */
  needsLogin: boolean;
}

export type FoundCamera = LocalCamera | OnvifCamera;

/** Of text that a device sends: one line that a terminal shows as it is. */
export function plain(text: unknown, mostChars = 80): string {
  return String(text)
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, mostChars);
}

/** An id of a configuration for each name, no two the same. */
export function idsFor(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const base =
      name
        .normalize('NFKD')
        .replace(/\p{M}/gu, '')
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .replace(/^-|-$/g, '')
        .slice(0, 40)
        .replace(/-$/, '') || 'camera';
    let id = base;
    for (let n = 2; taken.has(id); n++) id = `${base}-${n}`;
    taken.add(id);
    return id;
  });
}
