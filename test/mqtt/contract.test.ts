import { describe, expect, it } from 'vitest';
import { checkPlaintext, parseAddress } from '../../src/mqtt/address.js';
import { isPublishable, matches, replyFilters } from '../../src/mqtt/filters.js';
import { Stamp, stateOf } from '../../src/mqtt/messages.js';
import { VERBS } from '../../src/mqtt/request-schemas.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import { topics } from './nodes.js';

describe('topics', () => {
  it('lie below base, version and node', () => {
    expect(topics.root).toBe('mipha/v1/node-1');
    const made = [
      topics.availability,
      topics.info,
      topics.health,
      topics.event,
      topics.log,
      topics.alert('config'),
      topics.camera('front', 'status'),
      topics.camera('front', 'enabled/state'),
      topics.watch('lamp', 'result'),
      topics.watch('lamp', 'prompt/state'),
      topics.request('query'),
      topics.response('watch/put'),
    ];
    for (const topic of made) {
      expect(topic.startsWith('mipha/v1/node-1/')).toBe(true);
      expect(matches(topics.all, topic)).toBe(true);
    }
    expect(new Set(made).size).toBe(made.length);
  });

  it.each(['', 'Lamp', 'a/b', '+', '#', '_all', 'x'.repeat(65)])('refuse the id %j', (id) => {
    expect(() => topics.watch(id, 'result')).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    expect(() => topics.camera(id, 'status')).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    expect(() => topics.alert(id)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    expect(() => topicsOf('mipha', id)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
    expect(() => topicsOf(id, 'node-1')).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
  });

  it('that are subscribed to are exactly those that are understood', () => {
    const commands = {
      [topics.availability]: { kind: 'availability' },
      [topics.request('query')]: { kind: 'request', verb: 'query', broadcast: false },
      [topics.request('watch/put')]: { kind: 'request', verb: 'watch/put', broadcast: false },
      'mipha/v1/_all/request/health': { kind: 'request', verb: 'health', broadcast: true },
      'mipha/v1/node-1/camera/front/enabled/set': { kind: 'camera-set', camera: 'front' },
      'mipha/v1/node-1/watch/lamp/prompt/set': { kind: 'watch-set', watch: 'lamp', setting: 'prompt' },
    };
    for (const [topic, parsed] of Object.entries(commands)) {
      expect(topics.parse(topic)).toEqual(parsed);
      expect(topics.subscriptions.some((filter) => matches(filter, topic))).toBe(true);
    }
    const others = [
      topics.info,
      topics.watch('lamp', 'result'),
      topics.watch('lamp', 'enabled/state'),
      topics.response('query'),
      'mipha/v1/node-2/request/query',
      'mipha/v1/node-1/watch/lamp/colour/set',
      'mipha/v1/node-1/watch/Lamp/enabled/set/x',
      'mipha/v1/node-1/camera/front/prompt/set',
    ];
    for (const topic of others) {
      expect(topics.parse(topic), topic).toBeNull();
      expect(
        topics.subscriptions.filter((filter) => matches(filter, topic)),
        topic,
      ).toEqual([]);
    }
  });

  it('of requests exist for every verb', () => {
    for (const verb of VERBS) expect(topics.parse(topics.request(verb))).toEqual({ kind: 'request', verb, broadcast: false });
  });
});

describe('filters', () => {
  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a/c', false],
    ['a/b', 'a/b/c', false],
    ['a/b/c', 'a/b', false],
    ['a/+/c', 'a/b/c', true],
    ['a/+/c', 'a//c', true],
    ['a/+', 'a', false],
    ['a/+', 'a/b/c', false],
    ['a/#', 'a/b/c', true],
    ['a/#', 'a', true], // # stands for the parent too
    ['a/#', 'b/a', false],
    ['#', 'a/b', true],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['a/#/b', 'a/x/b', false], // no valid filter
    ['+/+', '/a', true],
    ['a/b#', 'a/b', false],
  ])('%s and the topic %s: %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected);
  });

  it('let only topics through that one may publish to', () => {
    for (const topic of ['a', 'a/b', 'mipha/v1/robot/reply/7', 'ü/x y']) expect(isPublishable(topic), topic).toBe(true);
    for (const topic of ['', '#', 'a/+', 'a+b', '$SYS/x', 'a\u0000', 'a\n', '\ud800', 'x'.repeat(513)])
      expect(isPublishable(topic), topic).toBe(false);
  });

  it('of replies are the usual ones and those that are configured', () => {
    const filters = replyFilters('mipha', topics.root, ['robots/+/in']);
    const allowed = (topic: string) => filters.some((filter) => matches(filter, topic));
    expect(['mipha/v1/any/reply/x', topics.response('query'), topics.response('x/y'), 'robots/a/in'].every(allowed)).toBe(true);
    expect(['mipha/v2/any/reply/x', topics.info, 'mipha/v1/node-2/response/x', 'robots/a/b/in'].some(allowed)).toBe(false);
  });
});

describe('the address of the broker', () => {
  it('is host and port, with the usual ports', () => {
    expect(parseAddress('mqtt://broker')).toEqual({ tls: false, host: 'broker', port: 1883 });
    expect(parseAddress('mqtts://broker.local/')).toEqual({ tls: true, host: 'broker.local', port: 8883 });
    expect(parseAddress('mqtt://[::1]:1234')).toEqual({ tls: false, host: '::1', port: 1234 });
  });

  it.each([
    'http://broker',
    'broker',
    'mqtt://',
    'mqtt://broker/path',
    'mqtt://broker?x',
    'mqtt://user:secret@broker',
    'mqtt://secret@broker',
    'mqtt://user:se/cret@broker',
  ])('refuses %s and repeats no secret', (url) => {
    const failure = (() => {
      try {
        parseAddress(url);
        return undefined;
      } catch (error) {
        return error as Error & { code: string; details: unknown };
      }
    })();
    expect(failure?.code).toBe('ERR_CONFIG');
    expect(`${failure?.message} ${JSON.stringify(failure?.details)}`).not.toMatch(/secret|se\/cret|user:/);
  });

  it('is plain only on this machine, unless that is asked for', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', 'LOCALHOST', '[::1]'])
      expect(() => checkPlaintext(`mqtt://${host}`, false)).not.toThrow();
    for (const host of ['broker', '192.168.1.2', '127.0.0.1.example.org', 'localhost.example.org', '[::2]', '0.0.0.0']) {
      expect(() => checkPlaintext(`mqtt://${host}`, false), host).toThrow(
        expect.objectContaining({ code: 'ERR_CONFIG', message: expect.stringContaining('mqtt.allow_plaintext') }),
      );
      expect(() => checkPlaintext(`mqtt://${host}`, true)).not.toThrow();
      expect(() => checkPlaintext(`mqtts://${host}`, false)).not.toThrow();
    }
  });
});

describe('messages', () => {
  it('have a bare value for simple consumers', () => {
    expect([true, false, 3, 'red', 'none', null].map(stateOf)).toEqual(['ON', 'OFF', '3', 'red', 'none', '']);
    expect(stateOf('x'.repeat(300))).toHaveLength(255);
  });

  it('have an empty one when nothing is known, and for no answer that says something', () => {
    for (const value of [0, -0, false, 'none', 'None', 'null', '0', '""', '.']) expect(stateOf(value)).not.toBe('');
    for (const blank of ['', ' ', '\n\t', '\u00a0', '\u3000']) expect(stateOf(blank)).toBe('');
  });

  it.each([
    ['an emoji', '😀'],
    ['a family', '👨‍👩‍👧‍👦'],
    ['a flag', '🇩🇪'],
    ['an accent of its own', 'e\u0301'],
    ['a waving hand with a colour', '👋🏽'],
  ])('cut a text between characters as readers see them: %s', (_, character) => {
    for (let before = 200; before <= 256; before++) {
      const state = stateOf('x'.repeat(before) + character.repeat(40));
      expect(state.length).toBeLessThanOrEqual(255);
      expect(state.length).toBeGreaterThan(255 - character.length);
      expect((state.length - Math.min(before, 255)) % character.length).toBe(0);
      expect(() => encodeURIComponent(state)).not.toThrow(); // no half of a code point
    }
  });

  it('cut one endless character between its code points', () => {
    expect(stateOf(`a${'\u0301'.repeat(400)}`)).toHaveLength(255);
    expect(() => encodeURIComponent(stateOf('😀\u200d'.repeat(200)))).not.toThrow();
  });

  it('are numbered per topic within a session, each with an id of its own', () => {
    const stamp = new Stamp('node-1', 's');
    const stamps = ['a', 'a', 'b', 'a'].map((topic) => stamp.next(topic));
    expect(stamps.map(({ seq }) => seq)).toEqual([0, 1, 0, 2]);
    expect(new Set(stamps.map(({ id }) => id)).size).toBe(4);
    expect(stamps[0]).toMatchObject({ v: 1, session: 's', node: 'node-1', ts: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) });
  });
});
