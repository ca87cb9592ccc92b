/** What makes a broken graph of a right one. */
import type { Initializer, Model, Node } from '../../src/package/onnx/proto.js';

export const node = (model: Model, name: string | RegExp): Node =>
  found(model.nodes.find((one) => (typeof name === 'string' ? one.name === name : name.test(one.name))));
export const constant = (model: Model, name: string | undefined): Initializer => found(model.initializers.find((one) => one.name === name));
export const attribute = ({ attributes }: Node, name: string) => found(attributes.find((one) => one.name === name));
/** Changes some properties of something in the graph. */
export function set<T extends object>(target: T, change: Partial<T> | Record<string | number, unknown>): void {
  Object.assign(target, change);
}

export function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the test looks for something that the graph does not have');
  return value;
}

/** Gives the node a constant of its own in place of one that it shares. */
export function own(model: Model, name: string, input: number, change: (tensor: Initializer) => void): void {
  const reader = node(model, name);
  const tensor = { ...constant(model, reader.inputs[input]), name: 'own' };
  change(tensor);
  model.initializers.push(tensor);
  reader.inputs[input] = 'own';
}

export function insert(model: Model, before: string, added: Node): void {
  model.nodes.splice(model.nodes.indexOf(node(model, before)), 0, added);
}
