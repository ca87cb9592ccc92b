/** docs/configuration.md, made from the schema: keys, types, defaults and marks cannot differ from what the program does. */
import { configShape, inWords, isRecordShape, type Path, type SettingShape } from './shape.js';

const INTRODUCTION = `# Configuration

A node reads one YAML file. What stands in the environment goes over the file, and flags go over both:

\`\`\`sh
mipha check-config mipha.yaml                                  # everything that is wrong, with line and nearest key
mipha print-config mipha.yaml                                  # every setting and where it comes from, overrides included
mipha schema config > mipha.schema.json                        # for editors
MIPHA_CONFIG_LOG__LEVEL=debug mipha run --config mipha.yaml --set http.port=8080
\`\`\`

- Unknown keys, wrong types and contradictions are errors; all of them are listed at once, and nothing starts. \`node\` is the only setting without a default.
- **Variables:** \`MIPHA_CONFIG_\` and the path, with \`__\` between levels. In the ids of cameras and watches, which have hyphens but no underscores, \`_\` stands
  for a hyphen: \`MIPHA_CONFIG_CAMERAS__FRONT_DOOR__URI\` is \`cameras.front-door.uri\`. Ids with two hyphens in a row, or one at an end, are out of reach of variables.
  A variable nobody knows is an error.
- **Values** of variables and flags are YAML (\`true\`, \`8080\`, \`[a, b]\`), except where text is expected: there they are taken as they are. An empty value, and null
  in the file, mean "not set".
- **Relative paths** in the file start at the file's folder; in variables and flags at the working directory. Addresses \`images://\` and \`file://\` too.
- **Passwords** stand in files of their own (\`mqtt.password_file\`), and are in no log, message or error. With systemd: \`LoadCredential\`, as in
  [mipha.service](../examples/mipha.service). Addresses of cameras with a password belong in the environment of the unit.
- **Reloading** (SIGHUP) reads all of it again. A configuration with an error is refused whole: the old one stays in force and an alert tells. Settings marked
  *restart* wait for the next start.
- **Over MQTT** (\`options\`, \`watch/put\`, \`watch/delete\`, \`…/set\`) everything can be changed that is not marked *local*: local settings decide what the node may
  see, show and reach, and are its owner's. Such a change is an **override**: it goes over file, environment and flags, and lasts as \`overrides.json\` in \`state_dir\`,
  which holds the changed keys and nothing else, so that everything else follows the file. Every start and reload names the overrides, and warns where the file says
  something else. The request \`overrides/drop\` drops them, or, while the node is stopped, \`mipha drop-overrides --config mipha.yaml [PATH...]\`.
- **A node starts whatever was changed over MQTT.** An override that this machine cannot run is refused. If a start fails with the overrides in force, or two in a row
  die before the node runs, it starts without them: their file is kept as \`overrides.json.dropped-TIME\`, and the alert \`overrides\` tells.
- **\`requests.closed\`** closes requests and settable topics for everybody, whatever the broker's access list says.

[config.yaml](../examples/config.yaml) has every setting, commented.
`;

interface Row {
  path: Path;
  shape: SettingShape;
  required: boolean;
  restart: boolean;
  local: boolean;
}

export function configReference(): string {
  const { properties = {}, required = [] } = configShape();
  const plain: Row[] = [];
  const sections: string[] = [];
  for (const [key, shape] of Object.entries(properties)) {
    const row = rowOf([key], shape, required.includes(key), { restart: false, local: false });
    if (shape.type !== 'object' || isTextsByName(shape)) {
      plain.push(row);
      continue;
    }
    const title = isRecordShape(shape) ? `\`${key}.ID\`` : `\`${key}\``;
    const inner = isRecordShape(shape) ? (shape.additionalProperties as SettingShape) : shape;
    const start: Row = { ...row, path: isRecordShape(shape) ? [key, 'ID'] : [key] };
    sections.push(`## ${title}${inner.description === undefined ? '' : `: ${inner.description}`}\n\n${table(rowsOf(inner, start))}`);
  }
  return `${[INTRODUCTION, `## The node\n\n${table(plain)}`, ...sections].join('\n')}\n`.replace(/\n+$/, '\n');
}

/** Words that the user names: a row, not a section. */
function isTextsByName({ additionalProperties }: SettingShape): boolean {
  return typeof additionalProperties === 'object' && additionalProperties.type === 'string';
}

function rowOf(path: Path, shape: SettingShape, required: boolean, above: Pick<Row, 'restart' | 'local'>): Row {
  return { path, shape, required, restart: above.restart || shape.restart === true, local: above.local || shape.local === true };
}

/** Leaves below an object, in the order of the schema; the branches of a union one after the other. */
function rowsOf(shape: SettingShape, above: Row): Row[] {
  if (shape.oneOf !== undefined) {
    const kinds = shape.oneOf.map((branch) => branch.properties?.type?.const);
    const type: Row = { ...above, path: [...above.path, 'type'], shape: { enum: kinds, default: (shape.default as { type?: unknown })?.type } };
    const branches = shape.oneOf.flatMap((branch) =>
      rowsOf(branch, above)
        .filter(({ path }) => path.at(-1) !== 'type')
        .map((row) => ({
          ...row,
          shape: { ...row.shape, description: [`with type ${branch.properties?.type?.const}`, row.shape.description].filter(Boolean).join(': ') },
        })),
    );
    return [type, ...branches];
  }
  const { properties = {}, required = [] } = shape;
  return Object.entries(properties).flatMap(([key, child]) => {
    const row = rowOf([...above.path, key], child, required.includes(key), above);
    const inner = child.type === 'object' || child.oneOf !== undefined ? rowsOf(child, row) : [];
    if (inner.length === 0) return [row];
    const [first, ...rest] = inner as [Row, ...Row[]];
    const about = child.description === undefined ? first.shape.description : [child.description, first.shape.description].filter(Boolean).join('; ');
    return [about === undefined ? first : { ...first, shape: { ...first.shape, description: about } }, ...rest];
  });
}

function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const { path, shape } = row;
    const marks = [row.restart ? '*restart*' : '', row.local ? '*local*' : ''].filter(Boolean).join(', ');
    const about = [shape.description ?? '', marks].filter(Boolean).join('; ');
    return `| \`${path.join('.')}\` | ${cell(kindOf(shape))} | ${defaultOf(row)} | ${cell(about)} |`;
  });
  return ['| Setting | Value | Default | |', '|---|---|---|---|', ...lines, ''].join('\n');
}

function defaultOf({ shape, required }: Row): string {
  if (shape.default !== undefined) return `\`${typeof shape.default === 'string' ? shape.default : JSON.stringify(shape.default)}\``;
  return required ? 'required' : '';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** The type alone; what the words of an error say beyond it stands in the description. */
function kindOf({ words: _, ...shape }: SettingShape): string {
  return inWords(shape);
}
