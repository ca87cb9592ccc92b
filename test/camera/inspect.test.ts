import { describe, expect, it } from 'vitest';
import { elementsOf, installCommand } from '../../src/camera/elements.js';
import { inspectCameras } from '../../src/camera/inspect.js';
import { SCHEMES } from '../../src/camera/schemes.js';
import { describeWith } from '../support/programs.js';

describe('inspectCameras', () => {
  it('tells of every scheme', async () => {
    const { schemes } = await inspectCameras(384);
    expect([...new Set(schemes.map(({ scheme }) => scheme.split(' ')[0]))].sort()).toEqual([...SCHEMES].sort());
    for (const { ready, missing, fix, example, scheme, pipeline, variant } of schemes) {
      expect(example.startsWith(`${scheme.split(' ')[0]}:`)).toBe(true);
      expect(pipeline === null).toBe(variant === 'built-in');
      if (ready) expect([missing, fix]).toEqual([[], null]);
      else expect(fix).toMatch(/^sudo apt-get install -y /);
    }
    expect(schemes.filter(({ scheme }) => ['synthetic', 'images'].includes(scheme)).every(({ ready }) => ready)).toBe(true);
  });

  describeWith(['gstreamer'], 'with GStreamer', () => {
    it('shows the exact pipelines and what is missing', async () => {
      const { gstreamer, schemes } = await inspectCameras(100);
      expect(gstreamer).toMatch(/^1\.\d+\.\d+$/);
      const named = Object.fromEntries(schemes.map((scheme) => [scheme.scheme, scheme]));
      for (const scheme of ['v4l2', 'v4l2 mjpeg', 'rtsp', 'file', 'gst']) expect(named[scheme]).toMatchObject({ ready: true });
      expect(named.rtsp?.pipeline).toMatch(/^gst-launch-1\.0 -q rtspsrc location=rtsp:\/\/HOST\/PATH .*\[1,100\].* ! pnmenc ! fdsink fd=3/i);
      const { csi } = named;
      if (csi?.ready) expect(csi.missing).toEqual([]);
      else expect(csi).toMatchObject({ missing: ['nvarguscamerasrc', 'nvvidconv'], fix: 'sudo apt-get install -y nvidia-l4t-gstreamer' });
    });
  });

  it('names nothing but GStreamer itself where that is missing', async () => {
    const path = process.env.PATH;
    process.env.PATH = '/nonexistent';
    try {
      const { gstreamer, schemes } = await inspectCameras(384);
      expect(gstreamer).toBeNull();
      expect(schemes.find(({ scheme }) => scheme === 'rtsp')).toMatchObject({ ready: false, fix: expect.stringContaining('gstreamer1.0-tools') });
    } finally {
      process.env.PATH = path;
    }
  });
});

describe('installCommand', () => {
  it('names each package once, and all of them for an element it does not know', () => {
    expect(installCommand(['pnmenc', 'h264parse', 'avdec_h264'])).toBe('sudo apt-get install -y gstreamer1.0-plugins-bad gstreamer1.0-libav');
    expect(installCommand(['frobnicate'])).toMatch(/base .*good .*bad .*libav$/);
  });

  it('finds the elements of a pipeline', () => {
    expect(elementsOf(['a', 'x=1', '!', 'video/x-raw', '!', 'b', '!', 'c.'])).toEqual(['a', 'b']);
  });
});
