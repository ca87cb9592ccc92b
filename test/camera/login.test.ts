/** What a camera is sent as name and password: exactly what the address means. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSource } from '../../src/camera/source.js';
import { describeWith } from '../support/programs.js';
import { type Doorkeeper, startDoorkeeper } from '../support/rtsp-401.js';
import { take } from './support.js';

describeWith(['gstreamer'], 'A camera with a password', () => {
  let door: Doorkeeper;
  beforeAll(async () => {
    door = await startDoorkeeper();
  });
  afterAll(() => door[Symbol.asyncDispose]());

  it.each<[address: string, login: string | Buffer]>([
    [`rtsp://admin:Tops'ecret1@HOST/s`, `admin:Tops'ecret1`],
    ['rtsp://admin:Tops ecret2@HOST/s', 'admin:Tops ecret2'],
    ['rtsp://admin:Tops"ecret3@HOST/s', 'admin:Tops"ecret3'],
    ['rtsp://admin:Tops\\ecret4@HOST/s', 'admin:Tops\\ecret4'],
    ['rtsp://admin:Tops%20ecret5@HOST/s', 'admin:Tops ecret5'],
    ['rtsp://admin:%2f%3F%23%25%40%3a@HOST/s', 'admin:/?#%@:'],
    ['rtsp://me@b.example:Top@Secret7@HOST/s', 'me@b.example:Top@Secret7'],
    ['rtsp://admin:a:b:c@HOST/s', 'admin:a:b:c'],
    ['rtsp://admin:!$&()*+,;=<>[]^`{|}~@HOST/s?a=b', 'admin:!$&()*+,;=<>[]^`{|}~'],
    ['rtsp://admin:passwörd€😀@HOST/s', 'admin:passwörd€😀'],
    ['rtsp://admin:%ff%e9@HOST/s', Buffer.from([...Buffer.from('admin:'), 0xff, 0xe9])],
    ['rtsp://admin@HOST/s', 'admin:'],
    ['rtsp://admin:@HOST/s', 'admin:'],
    ['rtsp://:secret@HOST/s', ':secret'],
    ['gst:rtspsrc location=rtsp://HOST/s protocols=tcp user-id=admin user-pw = "Top Secret8" ! decodebin', 'admin:Top Secret8'],
  ])('%s', async (address, login) => {
    door.logins.length = 0;
    const source = openSource(address.replace('HOST', `127.0.0.1:${door.port}`), { sidePx: 64 });
    await expect(take(source, 1)).rejects.toMatchObject({ code: 'ERR_CAMERA', message: expect.stringMatching(/Not [Ff]ound/) });
    expect(door.logins[0]?.toString('latin1')).toBe(Buffer.from(login).toString('latin1'));
  });
});
