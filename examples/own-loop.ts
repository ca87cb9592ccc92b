/**
 * A program with its own loop: it opens a camera, looks at the newest frame whenever it has time, and asks several typed questions at once.
 *
 *   node own-loop.js [camera] [frames]        camera: synthetic://kitchen, v4l2:///dev/video0, rtsp://..., images://folder
 */
import { Mipha, openCamera } from 'mipha-edge';
import { z } from 'zod';

const [uri = 'synthetic://kitchen', frames = '5'] = process.argv.slice(2);

await using mipha = await Mipha.load(process.env.MIPHA_MODEL ?? 'models/mipha-nano');
await using camera = openCamera(uri, { sidePx: mipha.imageSize });

let left = Number(frames);
for await (const frame of camera) {
  await using view = await mipha.look(frame, { frame: frame.id });
  const [person, objects] = await view.askAll([
    { question: 'Is there a person?', as: z.boolean() },
    { question: 'How many objects are on the table?', as: z.int().min(0).max(9) },
  ]);
  const ageMs = performance.now() - frame.monotonicMs;
  console.log(`${frame.id}: person ${person.value} (${person.confidence?.toFixed(2)}), objects ${objects.value}, answered at ${ageMs.toFixed(0)} ms`);
  if (--left === 0) break;
}
