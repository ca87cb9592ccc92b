/**
 * The whole contract with the native binary. Nothing else in the project describes it.
 * TypeScript validates, native trusts: it re-checks only pointers, sizes and state.
 * A native failure is an Error whose `code` is one of MiphaError's codes and whose `details` holds named numbers.
 */

export type PixelFormat = 'rgb' | 'rgba' | 'bgr' | 'gray' | 'nv12';

/** Raw pixels. `stride` is bytes per row. The buffer must not change until the call that takes it has settled. */
export interface NativeImage {
  data: Uint8Array;
  width: number;
  height: number;
  stride: number;
  format: PixelFormat;
}

/** What of a manifest's preprocessing makes pixels. */
export interface NativePreprocessing {
  aspect: 'pad' | 'squash' | 'crop';
  shortestSide: number; // pixels, at least the size asked for
  filter: 'bicubic' | 'bilinear';
  background: [number, number, number]; // red, green, blue
}

export type Finish = 'eos' | 'stop' | 'length' | 'cancelled';

/** Higher priority first; among equals the earliest deadline (milliseconds from now; absent: none) first. */
export interface JobOptions {
  priority?: number;
  deadlineMs?: number;
}

/** A byte automaton. A token that leads from a state to itself is no transition: an answer always ends. */
export interface NativeAutomaton {
  states: number;
  column: Uint8Array; // [256] of each byte in `next`: bytes that no state tells apart share one
  next: Int32Array; // [states, largest column + 1] target or -1
  accepting: Uint8Array; // [states]
  group: Int32Array; // [states] id of the values left in the choice at hand; 0: all of them, or fixed text; -1: free text
  ends: Int32Array; // [states] the group of the value that is chosen when the choice at hand ends here; 0: it does not
  decided: Uint8Array; // [states]
}

declare const constraint: unique symbol;

/** An automaton that was copied and checked. Its memory is freed when it is collected and no question uses it. */
export interface NativeConstraint {
  readonly [constraint]: never;
}

/** What only the cpu backend is told. */
export interface CpuOptions {
  threads: number; // 0: one per physical core
  isa: string; // '' : best
  streamWeights: boolean; // pack each layer when it is used: slow, but memory for one layer only
}

/** What only the tensorrt backend is told. */
export interface TensorRtOptions {
  library: string; // path
  plans: string; // folder of the package's engines for this machine
}

export interface NativeLoadOptions {
  folder: string; // a package, already checked by TypeScript
  manifest: string; // JSON: the sections `architecture`, `preprocessing` and `recipe` that were checked
  backend: string; // a name of backends()
  cacheTokens: number; // 0: the context plus 128 for each sequence of a batch
  cpu?: CpuOptions;
  tensorrt?: TensorRtOptions;
  prefix: Int32Array;
  vocabulary: Uint8Array; // bytes of all ids, one after the other
  vocabularyOffsets: Uint32Array; // [ids + 1]; an empty range is never an answer
}

export interface NativeStatus {
  backend: string;
  detail: string;
  memory: { name: string; bytes: number }[];
  views: number;
  conversations: number;
  queued: number;
  active: number;
}

export interface LookOutcome {
  cancelled: boolean;
  view: number;
  tokens: number;
  queueMs: number;
  preprocessMs: number;
  visionMs: number;
  prefillMs: number;
}

export interface AskOptions extends JobOptions {
  view: number; // -1: text only
  ids: Int32Array;
  maxTokens: number;
  stopIds: Int32Array;
  temperature: number;
  topP: number;
  seed: number;
  constraint?: NativeConstraint;
  conversation?: number;
  onToken?: (id: number) => void;
}

export interface AskOutcome {
  finish: Finish;
  ids: Int32Array; // without the end token
  /** One per step, so one more than ids when the end token was reached: largest allowed logit minus the second largest; Infinity when one token is allowed. */
  margins: Float32Array;
  probability: number;
  state: number;
  promptTokens: number;
  reusedTokens: number;
  queueMs: number;
  prefillMs: number;
  decodeMs: number;
}

/** A job under way: `done` settles exactly once; `cancel()` makes it settle within one token or one layer. */
export interface Job<T> {
  done: Promise<T>;
  cancel(): void;
}

export interface NativeEngine {
  look(image: NativeImage, options: JobOptions): Job<LookOutcome>;
  ask(options: AskOptions): Job<AskOutcome>;
  /** What is asked from here to handOver() begins together. */
  gather(): void;
  handOver(): void;
  converse(view: number): Promise<number>;
  releaseView(view: number): void;
  releaseConversation(conversation: number): void;
  status(): NativeStatus;
  /** Cancels everything and frees all memory; resolves when the worker thread has ended. */
  dispose(): Promise<void>;
}

/** What one run of a stage does with the input of a matrix, in this order. */
export interface ProductOptions {
  /** [in] Each value is multiplied by the factor of its column, before anything else. */
  factor?: Float32Array;
  /** [in] Takes up the largest magnitude of each column. */
  largest?: Float32Array;
  /** [in, 448] Takes up the magnitudes of each column, in sixteen bins for each octave from 2^-14 to 2^14. */
  magnitudes?: Uint32Array;
  /** x becomes scale · clamp(round(x / scale), −128, 127). */
  scale?: number;
  /** The weights of the candidate package are used. */
  candidate?: boolean;
}

/** Keys (rotated) and values of one layer, f32 [rows, kvHeads · headSize] each. */
export interface KeysAndValues {
  keys: Float32Array;
  values: Float32Array;
}

/**
 * The FP32 forward pass one stage at a time over several samples, on worker threads, for calibration; one call at a time. Stages:
 * `vision.patches` (pixels → rows), `vision.layers.N`, `projector`, `language.layers.N` (rows of a sequence behind `pasts`, causal), `head` (rows →
 * logits). `products` is by matrix. Results do not depend on the number of threads.
 */
export interface NativeStages {
  run(
    stage: string,
    inputs: (Float32Array | Uint8Array)[],
    products: Record<string, ProductOptions>,
    pasts?: KeysAndValues[],
  ): Promise<{ rows: Float32Array[]; pasts: KeysAndValues[] }>;
  /** Rows of the embedding: [ids, hidden]. */
  embed(ids: Int32Array): Float32Array;
  /** uint8 [size, size, 3] → normalized [3, size, size]. */
  planes(pixels: Uint8Array): Float32Array;
}

export interface TensorRtFacts {
  tensorrt: string; // version of the library that runs, "10.3.0.30"
  headers: string; // and of the headers that ours was compiled against
  gpu: string; // "Orin"
  computeCapability: number; // 87: major * 10 + minor
  cudaRuntime: number; // 12060
  cudaDriver: number;
  integrated: boolean; // shares the memory of the CPU, as on Jetson
  totalBytes: number;
  freeBytes: number;
  interfaceVersion: number;
}

export interface CudaFacts {
  gpu: string; // "Orin"
  computeCapability: number; // 87: major * 10 + minor
  cudaRuntime: number; // 13000, of the library
  cudaDriver: number; // the latest that the driver runs
  integrated: boolean; // shares the memory of the CPU, as on Jetson
  totalBytes: number;
  freeBytes: number;
  processors: number; // multiprocessors
  built: string[]; // what the library has code for: "sm_87" is that of one GPU, "compute_80" PTX for all that are no older
}

/** What one input may be in one profile. */
export interface TensorRtRange {
  least: number[];
  usual: number[];
  most: number[];
}

export interface TensorRtBuild {
  graph: string; // path of an .onnx file; its external data lies beside it
  plan: string; // path to write, in place: give a temporary name
  timingCache: string; // path, read if it is there and written back; '': none
  switches: string | null; // of TensorRT's compiler; null: as the environment has them
  workspaceBytes: number;
  level: number; // 0..5
  profiles: Record<string, TensorRtRange>[];
}

/** Relative RMS of one output of an engine. It passes when `deviation <= limit`, so never when it is NaN. */
export interface TensorRtDeviation {
  tensor: string;
  deviation: number;
  limit: number;
}

export interface Addon {
  version: string;
  /** Instruction sets: compiled into this binary, and runnable on this machine (best first). */
  cpu(): {
    compiled: string[];
    runnable: string[];
    amxRefusal: string | null; // why "amx" is not runnable though the processor has it
    physicalCores: number;
    threads: number;
    model: string;
    memoryBytes: number;
    availableBytes: number;
  };
  /** Bytes per second that all physical cores read from memory together: the ceiling of decoding. Synchronous, about a third of a second. */
  readBandwidth(): number;
  /**
   * INT8 multiplications and additions per second that all physical cores do together, from registers alone: the ceiling of looking. 0 where it is not
   * known (AVX-512 VNNI, SMMLA and SDOT are measured). Synchronous, about a tenth of a second.
   */
  int8Peak(): number;
  /** Best first. */
  backends(): { name: string; available: boolean; reason: string }[];
  /**
   * An automaton as questions take it, of any engine of this thread. Throws ERR_OPTION where lengths, targets or groups do not fit together. Questions
   * that share it share what an engine has worked out of it.
   */
  constraint(automaton: NativeAutomaton): NativeConstraint;
  /** Rejects with the typed error of the load. `onProgress` gets a stage and a fraction 0..1. */
  load(options: NativeLoadOptions, onProgress?: (stage: string, fraction: number) => void): Job<NativeEngine>;
  /** `candidate`: a folder whose weights take the place of the package's where `products` says so; '' for none. */
  stages(folder: string, candidate: string, threads: number): NativeStages;
  /** Resized as the model wants, and the size × size in the middle: uint8 [size, size, 3]. Synchronous; for calibration. */
  resize(image: NativeImage, size: number, preprocessing: NativePreprocessing): Uint8Array;
  /**
   * Rows of a matrix to symmetric INT8 on a worker thread. `source` holds rows * columns values of `dtype`, little-endian.
   * Scale per row by the smallest squared error. Writes `weight` [rows, columns] and `scale` [rows]; rejects with ERR_MODEL_FORMAT on a NaN or infinity, naming row and column.
   */
  quantize(
    source: Uint8Array,
    dtype: 'BF16' | 'F16' | 'F32',
    rows: number,
    columns: number,
    weight: Int8Array,
    scale: Float32Array,
    /** Scales exact in FP16 and at least 2^-14. */
    halfScales?: boolean,
  ): Promise<void>;
  /** out [rows, columns] += scale · b [rows, rank] · a [rank, columns] on a worker thread: a LoRA adapter merged into a weight. */
  addProduct(out: Float32Array, b: Float32Array, a: Float32Array, rows: number, rank: number, columns: number, scale: number): Promise<void>;
  /** Opens the library and the GPU. Rejects with ERR_BACKEND_UNAVAILABLE and the words of the library. */
  cudaFacts(library: string): Promise<CudaFacts>;
  /** Opens the library and the GPU. Rejects with ERR_BACKEND_UNAVAILABLE and the words of the library. */
  tensorrtFacts(library: string): Promise<TensorRtFacts>;
  /**
   * Makes an engine of a graph, on a thread of its own: minutes. Rejects with ERR_BACKEND_UNAVAILABLE, ERR_MEMORY, ERR_DEVICE (`details.stage` is
   * "build": the graph was refused, or the GPU failed), ERR_OPTION (the plan cannot be written) and, when cancelled, ERR_DISPOSED. `onProgress` gets what is being done and a fraction 0..1 of that.
   */
  tensorrtBuild(library: string, options: TensorRtBuild, onProgress?: (what: string, fraction: number) => void): Job<void>;
  /** Runs the stored inputs of a calibrated package through one plan: every output with its deviation. */
  tensorrtCheck(library: string, folder: string, plan: string): Promise<TensorRtDeviation[]>;
}
