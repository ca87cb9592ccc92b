/** The schema of calibration.json: how the input of each product is quantized, and why each matrix has its precision. */
import { z } from 'zod';
import { precisionSchema } from './manifest.js';

export const CALIBRATION_FILE = 'calibration.json';
export const SELF_TEST_FILE = 'self-test.safetensors';

const magnitude = z.number().min(0);

/** One matrix. `inputScale` is exact in FP16: q = clamp(round(x / inputScale), −128, 127) of the smoothed input. */
export const matrixCalibrationSchema = z.strictObject({
  inputScale: z
    .number()
    .min(2 ** -14)
    .max(65504),
  largest: magnitude, // of the input before smoothing
  smoothedLargest: magnitude,
  percentiles: z.strictObject({ p99: magnitude, p999: magnitude, p9999: magnitude }), // of |smoothed input|
  clipped: z.number().min(0).max(1), // share of values beyond 127 · inputScale
  error: z.number().min(0).nullable(), // of the logits with this matrix alone in w8a8; null: not measured
  precision: precisionSchema,
  why: z.string().max(200), // a few words for the table
});

export const calibrationSchema = z.strictObject({
  samples: z.int().min(1), // pictures with prompts that were run
  pictures: z.array(z.strictObject({ name: z.string().max(300), sha256: z.string() })),
  prompts: z.array(z.string().max(2000)),
  budget: z.number().positive(), // relative RMS error of the logits that was allowed
  error: z.number().min(0), // and the one that the recipe has, on the samples
  matrices: z.record(z.string().max(100), matrixCalibrationSchema),
});

export type MatrixCalibration = z.infer<typeof matrixCalibrationSchema>;
export type Calibration = z.infer<typeof calibrationSchema>;
