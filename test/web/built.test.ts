/** The page as it is built and shipped. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';

const FOLDER = join('dist', 'web');
const files = () =>
  readdirSync(FOLDER, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));

it('has less than 150 kB, compressed', () => {
  const bytes = files().reduce((sum, path) => sum + gzipSync(readFileSync(path), { level: 9 }).length, 0);
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(150_000);
});

it('names no other host, and has nothing inline that its policy would refuse', () => {
  for (const path of files()) {
    const foreign = (readFileSync(path, 'utf8').match(/(https?:)?\/\/[\w-]+\.[\w.-]+/g) ?? []).filter(
      (address) => !/^(https?:)?\/\/(www\.)?w3\.org$/.test(address),
    );
    expect([path, foreign]).toEqual([path, []]);
  }
  const html = readFileSync(join(FOLDER, 'index.html'), 'utf8');
  expect(html).not.toMatch(/<script(?![^>]*src=)|<style|style=|\son\w+=/);
});
