export interface Headers {
  folder: string; // of NvInfer.h
  version: string | null; // of TensorRT, "10.3.0.26"
  cuda: string | null; // "12.6"
  include: string[]; // folders of the headers that were found
  missing: string[]; // headers that were not
}
export function findHeaders(environment?: Record<string, string | undefined>): Headers | null;
export function shimCommand(headers: Headers, sources: string[], out: string, flags?: string[]): string[];
