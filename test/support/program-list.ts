/** The programs of the system that some tests need. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export const PROGRAMS = {
  mosquitto: { probe: () => found('mosquitto'), install: 'mosquitto' },
  mosquitto_sub: { probe: () => found('mosquitto_sub'), install: 'mosquitto-clients' },
  nats: { probe: () => found('nats-server'), install: 'nats-server' },
  ejabberd: { probe: () => found('ejabberdctl') && found('erl'), install: 'ejabberd' },
  gstreamer: {
    probe: () => found('gst-launch-1.0') && elements(['pnmenc', 'rtspsrc', 'qtdemux', 'x264enc', 'avdec_h264', 'h264parse']),
    install:
      'gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav',
  },
  rtspServer: {
    probe: () => spawnSync('pkg-config', ['--exists', 'gstreamer-rtsp-server-1.0']).status === 0 && found('gcc'),
    install: 'libgstrtspserver-1.0-dev pkg-config gcc',
  },
  gcc: { probe: () => found('gcc'), install: 'gcc libc6-dev' },
  binutils: { probe: () => found('g++') && found('objdump'), install: 'g++ binutils' },
  chromium: { probe: () => found('chromium'), install: 'chromium' },
  curl: { probe: () => found('curl'), install: 'curl' },
  openssl: { probe: () => found('openssl'), install: 'openssl' },
} as const satisfies Record<string, { probe: () => boolean; install: string }>;
export type Program = keyof typeof PROGRAMS;

/** The path of a program; Debian keeps servers in sbin, which a user's PATH may lack. */
export function pathOf(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => `${folder}/${program}`).find((path) => existsSync(path));
}

function found(program: string): boolean {
  return pathOf(program) !== undefined;
}

function elements(names: readonly string[]): boolean {
  return names.every((name) => spawnSync('gst-inspect-1.0', ['--exists', name]).status === 0);
}
