/** Models that people will try and no reader takes: which family a config.json belongs to, by what its publishers call it, and what is missing. */

export interface Family {
  name: string; // as people know it
  kind: 'picture and language' | 'language' | 'vision';
}

/** Matched in this order against model_type, then the names of architectures, in lower case without hyphens and underscores. */
const FAMILIES: readonly [RegExp, string][] = [
  [/^miphagemma/, 'Mipha on Gemma'],
  [/^miphaphi3/, 'Mipha on Phi-3'],
  [/^moellava/, 'MoE-LLaVA'],
  [/^(llavaphi|miphallavaphi)/, 'LLaVA-Phi'],
  [/^bunny/, 'Bunny'],
  [/^imp($|phi|qwen|for)/, 'Imp'],
  [/^tinyllava/, 'TinyLLaVA'],
  [/^(hf)?moondream/, 'moondream'],
  [/^mobile(vlm|llama)/, 'MobileVLM'],
  [/^qwen[\d.]*(vl|omni)/, 'Qwen-VL'],
  [/^(smolvlm|idefics)/, 'SmolVLM and Idefics'],
  [/^paligemma/, 'PaliGemma'],
  [/^gemma3n?($|for)/, 'Gemma 3'],
  [/^phi3v|^phi4(multimodal|mm)/, 'Phi Vision'],
  [/^internvl/, 'InternVL'],
  [/^minicpm[vo]/, 'MiniCPM-V'],
  [/^(instruct)?blip/, 'BLIP'],
  [/^florence/, 'Florence'],
  [/^kosmos/, 'Kosmos'],
  [/^(deepseekvl|janus|multimodality)/, 'DeepSeek-VL and Janus'],
  [/^(cogvlm|cogagent|glm4v|chatglm4v)/, 'CogVLM and GLM-V'],
  [
    /^(molmo|ovis|fuyu|pixtral|mllama|mistral3|kimivl|lfm2vl|ayavision|ayaexpanse|aria|emu3|chameleon|granitevision|minigpt4|otter|openflamingo)/,
    'a vision-language model',
  ],
  [/^(llava|vipllava|videollava|sharegpt4v)/, 'LLaVA'],
];

/** nanoLLaVA and Apple's FastVLM differ by a hyphen. */
const EXACT: Record<string, string> = { 'llava-qwen2': 'nanoLLaVA', llava_qwen2: 'FastVLM' };

const LANGUAGE =
  /^(phi|phimsft|mixformersequential|llama|mistral|mixtral|qwen|gemma|stablelm|stablelmepoch|gptneox|gpt|opt|falcon|openelm|olmo|smollm)[\d.]*(moe|text)?($|for|model)/;
const VISION = /^(siglip|clip|dino|vit|eva|evaclip)(v?\d)?(withregisters)?($|for|vision|model)/;

/** What a model needs that is not computed here, where it is more than another reader. */
const MISSING: Record<string, string> = {
  'MoE-LLaVA': 'it has experts behind a router',
  moondream: 'it sees crops of a picture beside the whole, and its revisions differ in names, prompts and tokenizers',
  Bunny: 'this one has a language model, or more than one scale of the picture (S²), that no reader knows',
  Imp: 'this one has a language model that no reader knows',
  TinyLLaVA: 'this one has a language model that no reader knows',
  'Qwen-VL': 'its pictures have any shape and positions in three dimensions',
  LLaVA: 'this layout has no vision tower in its files and comes in pickles; convert llava-hf/llava-1.5-7b-hf instead',
  FastVLM: 'its tower is a convolutional one',
};

export function missingIn(family: string): string {
  return Object.hasOwn(MISSING, family) ? (MISSING[family] as string) : 'no reader knows its parts';
}

/** undefined: a family that nobody here has heard of. */
export function familyOf(modelType: string | undefined, architectures: readonly string[]): Family | undefined {
  const exact = modelType === undefined ? undefined : Object.hasOwn(EXACT, modelType) ? EXACT[modelType] : undefined;
  if (exact !== undefined) return { name: exact, kind: 'picture and language' };
  const words = [modelType ?? '', ...architectures].map((word) => word.toLowerCase().replace(/[-_]/g, ''));
  for (const word of words) {
    const name = FAMILIES.find(([pattern]) => pattern.test(word))?.[1];
    if (name !== undefined) return { name, kind: 'picture and language' };
  }
  for (const [kind, pattern] of [
    ['language', LANGUAGE],
    ['vision', VISION],
  ] as const) {
    const found = words.findIndex((word) => pattern.test(word));
    if (found >= 0) return { name: (found === 0 ? modelType : architectures[found - 1]) as string, kind };
  }
  return undefined;
}
