/** The part of Jinja that our templates for Home Assistant use, with Python's meaning. Throws for everything else, and where Jinja would. */

type Value = unknown;
type Scope = Record<string, Value>;

const UNDEFINED = Symbol('undefined');
const TOKEN = /\s*(?:(\d+(?:\.\d+)?)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([A-Za-z_]\w*)|(==|!=|<=|>=|[-+*/~|.,:()[\]{}<>=]))/y;
const WORDS_OF_THE_LANGUAGE = new Set(['if', 'else', 'or', 'and', 'not', 'in', 'is']);

/** As Home Assistant renders a value template: `value` is the payload, `value_json` what it parses to if it does; the ends are stripped. */
export function render(template: string, payload: string): string {
  const scope: Scope = { value: payload };
  try {
    scope.value_json = JSON.parse(payload);
  } catch {
    // then there is none
  }
  let output = '';
  for (const part of template.split(/(\{\{.*?\}\}(?!\})|\{%.*?%\})/s)) {
    if (part.startsWith('{%')) {
      const [, name = '', expression = ''] = /^\{%\s*set\s+(\w+)\s*=(.*)%\}$/s.exec(part) ?? [];
      if (name === '') throw new Error(`no such statement: ${part}`);
      scope[name] = new Expression(expression, scope).whole();
    } else if (part.startsWith('{{')) output += text(new Expression(part.slice(2, -2), scope).whole());
    else output += part;
  }
  return output.trim();
}

class Expression {
  private readonly tokens: string[] = [];
  private at = 0;

  constructor(
    source: string,
    private readonly scope: Scope,
  ) {
    TOKEN.lastIndex = 0;
    for (let from = 0; source.slice(from).trim() !== ''; from = TOKEN.lastIndex) {
      TOKEN.lastIndex = from;
      const found = TOKEN.exec(source);
      if (found === null) throw new Error(`no token at: ${source.slice(from)}`);
      this.tokens.push(found[0].trim());
    }
  }

  whole(): Value {
    const value = this.conditional();
    if (this.at < this.tokens.length) throw new Error(`left over: ${this.tokens.slice(this.at).join(' ')}`);
    return value;
  }

  private takes(token: string): boolean {
    if (this.tokens[this.at] !== token) return false;
    this.at++;
    return true;
  }

  private expect(token: string): void {
    if (!this.takes(token)) throw new Error(`expected ${token}, found ${this.tokens[this.at]}`);
  }

  /** Only the chosen branch is evaluated, as in Jinja: the other may fail. */
  private conditional(): Value {
    const begin = this.at;
    this.skipTo(['if']);
    if (!this.takes('if')) {
      this.at = begin;
      return this.or();
    }
    const holds = truth(this.or());
    const otherwise = this.takes('else') ? this.at : undefined;
    if (!holds) return otherwise === undefined ? UNDEFINED : this.conditional();
    const after = this.at;
    this.at = begin;
    const value = this.or();
    this.at = after;
    if (otherwise !== undefined) this.skipTo([]);
    return value;
  }

  /** To one of these words, or to the end of the expression, without evaluating anything. */
  private skipTo(words: readonly string[]): void {
    for (let depth = 0; this.at < this.tokens.length; this.at++) {
      const token = this.tokens[this.at] as string;
      if (depth === 0 && (words.includes(token) || [')', ']', '}', ',', ':'].includes(token))) return;
      if (['(', '[', '{'].includes(token)) depth++;
      else if ([')', ']', '}'].includes(token)) depth--;
    }
  }

  private or(): Value {
    let value = this.and();
    while (this.takes('or')) {
      const right = this.and();
      value = truth(value) ? value : right;
    }
    return value;
  }

  private and(): Value {
    let value = this.not();
    while (this.takes('and')) {
      const right = this.lazily(truth(value), () => this.not());
      value = truth(value) ? right : value;
    }
    return value;
  }

  /** What is not needed may fail. */
  private lazily(needed: boolean, evaluate: () => Value): Value {
    const begin = this.at;
    try {
      return evaluate();
    } catch (error) {
      if (needed) throw error;
      this.at = begin;
      this.skipTo(['and', 'or', 'if', 'else']);
      return UNDEFINED;
    }
  }

  private not(): Value {
    return this.takes('not') ? !truth(this.not()) : this.comparison();
  }

  private comparison(): Value {
    const left = this.concatenation();
    if (this.takes('==')) return left === this.concatenation();
    if (this.takes('!=')) return left !== this.concatenation();
    if (this.takes('>')) return (left as number) > (this.concatenation() as number);
    if (this.takes('in')) return (this.concatenation() as Value[]).includes(left);
    return left;
  }

  private concatenation(): Value {
    let value = this.product();
    while (this.takes('~')) value = text(value) + text(this.product());
    return value;
  }

  private product(): Value {
    let value = this.postfixed();
    while (this.takes('*')) value = (value as number) * (this.postfixed() as number);
    return value;
  }

  private postfixed(): Value {
    let value = this.primary();
    for (;;) {
      if (this.takes('.')) {
        const name = this.tokens[this.at++] as string;
        if (name === 'values' && this.takes('(')) {
          this.expect(')');
          value = Object.values(value as object);
        } else value = member(value, name);
      } else if (this.takes('[')) value = this.subscript(value);
      else if (this.takes('|')) value = filter(this.tokens[this.at++] as string, value, this.takes('(') ? this.args() : []);
      else if (this.takes('is')) {
        const negated = this.takes('not');
        value = test(this.tokens[this.at++] as string, value) !== negated;
      } else return value;
    }
  }

  private subscript(value: Value): Value {
    const bound = () => {
      const negative = this.takes('-');
      const number = this.primary() as number;
      return negative ? -number : number;
    };
    const first = this.tokens[this.at] === ':' ? undefined : bound();
    if (!this.takes(':')) {
      this.expect(']');
      return member(value, String(first));
    }
    const last = this.tokens[this.at] === ']' ? undefined : bound();
    this.expect(']');
    return [...(value as string)].slice(first, last).join('');
  }

  private args(): Value[] {
    const values: Value[] = [];
    while (!this.takes(')')) {
      if (this.tokens[this.at + 1] === '=') this.at += 2; // a named one: no filter here has two
      values.push(this.conditional());
      this.takes(',');
    }
    return values;
  }

  private primary(): Value {
    const token = this.tokens[this.at++] as string;
    if (/^\d/.test(token)) return Number(token);
    if (/^['"]/.test(token)) return token.slice(1, -1).replace(/\\(.)/g, '$1');
    if (token === '(') {
      const value = this.conditional();
      this.expect(')');
      return value;
    }
    if (token === '[') {
      const values: Value[] = [];
      while (!this.takes(']')) {
        values.push(this.conditional());
        this.takes(',');
      }
      return values;
    }
    if (token === '{') {
      const entries: [string, Value][] = [];
      while (!this.takes('}')) {
        const key = this.conditional() as string;
        this.expect(':');
        entries.push([key, this.conditional()]);
        this.takes(',');
      }
      return Object.fromEntries(entries);
    }
    if (token === 'true' || token === 'false') return token === 'true';
    if (token === 'none') return null;
    if (!/^[A-Za-z_]/.test(token) || WORDS_OF_THE_LANGUAGE.has(token)) throw new Error(`expected a value, found ${token}`);
    return Object.hasOwn(this.scope, token) ? this.scope[token] : UNDEFINED;
  }
}

function member(value: Value, name: string): Value {
  if (value === UNDEFINED) throw new Error(`undefined has no ${name}`);
  return value !== null && typeof value === 'object' && Object.hasOwn(value, name) ? (value as Scope)[name] : UNDEFINED;
}

function truth(value: Value): boolean {
  if (value === UNDEFINED || value === null || value === false || value === 0 || value === '') return false;
  return typeof value !== 'object' || Object.keys(value as object).length > 0;
}

function text(value: Value): string {
  if (value === UNDEFINED) return '';
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new Error('how Python writes this is nothing that a template of ours may depend on');
}

function test(name: string, value: Value): boolean {
  if (name === 'defined') return value !== UNDEFINED;
  if (name === 'none') return value === null;
  if (name === 'number') return typeof value === 'number' || typeof value === 'boolean';
  throw new Error(`no test ${name}`);
}

function filter(name: string, value: Value, [argument]: Value[]): Value {
  switch (name) {
    case 'trim': {
      if (argument === undefined) return text(value).trim();
      const set = new Set(argument as string);
      const chars = [...text(value)];
      while (chars.length > 0 && set.has(chars[0] as string)) chars.shift();
      while (chars.length > 0 && set.has(chars.at(-1) as string)) chars.pop();
      return chars.join('');
    }
    case 'lower':
      return text(value).toLowerCase();
    case 'round':
      if (typeof value !== 'number') throw new Error('round of no number');
      return Math.round(value * 10 ** (argument as number)) / 10 ** (argument as number);
    case 'default':
      return value === UNDEFINED ? argument : value;
    case 'max':
      return Math.max(...(value as number[]));
    case 'map':
      return (value as Value[]).map((one) => member(one, argument as string));
    case 'list':
      return value;
    case 'tojson':
      return JSON.stringify(value, (_, inner) => {
        if (inner === UNDEFINED) throw new Error('undefined is no JSON');
        return inner;
      });
    default:
      throw new Error(`no filter ${name}`);
  }
}
