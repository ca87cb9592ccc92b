/** Options of the commands that talk to a broker as a client: where it is, and which of its nodes are meant. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { BrokerAccess, NodeChoice } from '../pool/index.js';

export interface BrokerFlags {
  broker: string;
  base: string;
  protocol: '5' | '3.1.1';
  username?: string;
  passwordFile?: string;
  caFile?: string;
  certFile?: string;
  keyFile?: string;
  allowPlaintext?: boolean;
  node: string[];
  label: [name: string, value: string][];
  model?: string;
}

const collect = (text: string, earlier: string[]) => [...earlier, text];

function labelFlag(text: string, earlier: [string, string][]): [string, string][] {
  const split = text.indexOf('=');
  if (split <= 0) throw new InvalidArgumentError('Expected NAME=VALUE, e.g. site=hall-2.');
  return [...earlier, [text.slice(0, split), text.slice(split + 1)]];
}

export function addBrokerOptions(command: Command): Command {
  return command
    .option('--node <pattern>', 'ask only nodes of such a name, * for any characters; as often as needed', collect, [])
    .option('--label <name=value>', 'only nodes with this label; as often as needed, all must fit', labelFlag, [])
    .option('--model <id>', 'only nodes with this package, id or id@revision')
    .option('--broker <url>', 'mqtt://HOST:PORT or mqtts://HOST:PORT', 'mqtt://127.0.0.1:1883')
    .option('--base <name>', 'first part of all topics', 'mipha')
    .addOption(new Option('--protocol <version>', 'of MQTT').choices(['5', '3.1.1']).default('5'))
    .option('--username <name>', 'at the broker')
    .option('--password-file <file>', 'the password to it')
    .option('--ca-file <file>', 'certificates that the broker may be signed by')
    .option('--cert-file <file>', 'client certificate')
    .option('--key-file <file>', 'private key to it')
    .option('--allow-plaintext', 'permit mqtt:// to another machine');
}

export function accessOf({
  broker: url,
  base,
  protocol,
  username,
  passwordFile,
  caFile,
  certFile,
  keyFile,
  allowPlaintext,
}: BrokerFlags): BrokerAccess {
  return { url, base, protocol, username, passwordFile, caFile, certFile, keyFile, allowPlaintext };
}

export function choiceOf({ node, label, model }: BrokerFlags): NodeChoice {
  return {
    ...(node.length === 0 ? {} : { nodes: node }),
    ...(label.length === 0 ? {} : { labels: Object.fromEntries(label) }),
    ...(model === undefined ? {} : { model }),
  };
}
