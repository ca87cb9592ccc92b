import { createHash } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bytesOf, openSafetensors, SafetensorsWriter, storageOrder, type TensorSpec } from '../../src/package/safetensors.js';
import { decodeSafetensors, encodeSafetensors, f32, temporaryFolder } from './helpers.js';

const two = { first: f32([2, 3], [1, 2, 3, 4, 5, 6]), second: f32([1], [7]) };

async function written(header: unknown, data = new Uint8Array(28), length?: bigint): Promise<string> {
  const path = join(await temporaryFolder(), 'x.safetensors');
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.byteLength));
  await writeFile(path, Buffer.concat([prefix, json, data]));
  return path;
}

const good = { dtype: 'F32', shape: [7], data_offsets: [0, 28] };

describe('reader', () => {
  it('finds every tensor and reads any part of it', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    await writeFile(path, encodeSafetensors(two));
    const file = await openSafetensors(path);
    expect([...file.tensors.keys()]).toEqual(['first', 'second']);
    const into = new Uint8Array(8);
    await file.read((file.tensors.get('first')?.offset ?? 0) + 12, into);
    expect([...new Float32Array(into.buffer)]).toEqual([4, 5]);
    await file.close();
  });

  it.each<[string, unknown, RegExp]>([
    ['no JSON', '{"a"', /header: expected JSON/],
    ['an array', [], /header: expected an object/],
    ['a missing dtype', { a: { ...good, dtype: undefined } }, /a: dtype/],
    ['a negative size', { a: { ...good, shape: [-7] } }, /a: shape/],
    ['a fractional size', { a: { ...good, shape: [3.5, 2] } }, /a: shape/],
    ['a null entry', { a: null }, /a: dtype/],
    ['sizes whose product overflows', { a: { ...good, shape: [2 ** 50, 2 ** 50] } }, /a: data_offsets/],
    ['offsets beyond the file', { a: { ...good, shape: [8], data_offsets: [0, 32] } }, /a: expected \d+ bytes in the file/],
    ['swapped offsets', { a: { ...good, data_offsets: [28, 0] } }, /a: data_offsets/],
    ['a hole', { a: { dtype: 'F32', shape: [6], data_offsets: [4, 28] } }, /a: expected data at offset 0/],
    ['an overlap', { a: good, b: { dtype: 'F32', shape: [1], data_offsets: [24, 28] } }, /b: expected data at offset 28/],
    ['bytes behind the last tensor', { a: { dtype: 'F32', shape: [6], data_offsets: [0, 24] } }, /as its header says/],
    ['a shape that needs other bytes', { a: { ...good, shape: [6] } }, /24 bytes for F32 \[6\], received 28/],
  ])('refuses %s', async (_, header, message) => {
    await expect(openSafetensors(await written(header))).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(message) });
  });

  it('refuses a header that claims more than the file or the format allows', async () => {
    for (const length of [1000n, 2n ** 63n, 200_000_000n])
      await expect(openSafetensors(await written({ a: good }, undefined, length))).rejects.toMatchObject({
        code: 'ERR_MODEL_FORMAT',
        message: expect.stringMatching(/header length/),
      });
  });

  it('refuses a file cut at any point', async () => {
    const whole = encodeSafetensors(two);
    const path = join(await temporaryFolder(), 'x.safetensors');
    for (let length = 0; length < whole.byteLength; length++) {
      await writeFile(path, whole.subarray(0, length));
      await expect(openSafetensors(path)).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT' });
    }
  });

  it('notices a file that shrinks after it was opened', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    await writeFile(path, encodeSafetensors(two));
    const file = await openSafetensors(path);
    await truncate(path, 20);
    await expect(file.read(8, new Uint8Array(64))).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(/end of file/) });
    await file.close();
  });

  it('names a file that is not there, and a folder in its place', async () => {
    const folder = await temporaryFolder();
    await expect(openSafetensors(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_MODEL_MISSING', details: { path: join(folder, 'none') } });
    await expect(openSafetensors(folder)).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT' });
  });
});

describe('writer', () => {
  const specs: TensorSpec[] = [
    { name: 'odd', dtype: 'I8', shape: [3, 24] }, // 72 bytes
    { name: 'bias', dtype: 'F32', shape: [3] },
    { name: 'wide', dtype: 'I8', shape: [16, 16] },
    { name: 'half', dtype: 'F16', shape: [8, 2] },
  ];

  it('aligns the data to 64 bytes and every tensor to its own size', async () => {
    const ordered = storageOrder(specs);
    expect(ordered.map((spec) => spec.name)).toEqual(['wide', 'half', 'odd', 'bias']);
    const path = join(await temporaryFolder(), 'x.safetensors');
    const writer = await SafetensorsWriter.create(path, ordered);
    for (const spec of ordered) await writer.write(new Uint8Array(bytesOf(spec)).fill(spec.name.charCodeAt(0)));
    const record = await writer.finish({ durable: true });

    const bytes = await readFile(path);
    expect(record).toEqual({ bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') });
    for (const [name, tensor] of Object.entries(decodeSafetensors(bytes))) expect(new Set(tensor.bytes)).toEqual(new Set([name.charCodeAt(0)]));
    const file = await openSafetensors(path);
    expect([...file.tensors.values()].map(({ offset, bytes: size }) => offset % Math.min(64, size & -size))).toEqual([0, 0, 0, 0]);
    expect(file.tensors.get('wide')?.offset).toSatisfy((offset: number) => offset % 64 === 0);
    await file.close();
  });

  it('refuses to finish a file that is not whole', async () => {
    const writer = await SafetensorsWriter.create(join(await temporaryFolder(), 'x'), specs);
    await writer.write(new Uint8Array(10));
    await expect(writer.finish({ durable: false })).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await writer.abandon();
  });
});
