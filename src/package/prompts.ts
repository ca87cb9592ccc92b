/** The words in which the families were trained to be asked. What each part means: promptSchema in manifest.ts. */
import type { PromptTemplate } from './manifest.js';

/** Where the picture goes. */
export const IMAGE = '<image>';

/** Mipha, Bunny and Imp on Phi, LLaVA-Phi, TinyLLaVA on Phi, StableLM and Qwen2, Bunny on Qwen: no token begins the prompt, `<|endoftext|>` ends a turn. */
export const PHI: PromptTemplate = vicuna('<|endoftext|>');

/** LLaVA-1.5 as first published, MobileVLM, TinyLLaVA on TinyLlama. */
export const VICUNA_V1: PromptTemplate = vicuna('</s>', '<s>');

/** Mipha on Gemma, TinyLLaVA on Gemma. */
export const GEMMA: PromptTemplate = vicuna('<eos>', '<bos>');

/** LLaVA-1.5 as transformers has it: no system text, and the picture is a token inside of one text. */
export const LLAVA_HF: PromptTemplate = { ...VICUNA_V1, system: '', afterPicture: 'continued' };

/** nanoLLaVA: ChatML as LLaVA writes it, without a line feed between turns. */
export const CHATML_NANOLLAVA: PromptTemplate = {
  tokens: ['<|im_start|>', '<|im_end|>'],
  system: '<|im_start|>system\nAnswer the questions.<|im_end|>',
  user: '<|im_start|>user\n',
  image: `${IMAGE}\n`,
  afterPicture: 'apart',
  assistant: '<|im_end|><|im_start|>assistant\n',
  answer: '',
  end: '<|im_end|>',
  stops: ['<|im_end|>'],
};

function vicuna(end: string, begin?: string): PromptTemplate {
  return {
    ...(begin === undefined ? {} : { begin }),
    tokens: [],
    system:
      'A chat between a curious user and an artificial intelligence assistant. ' +
      "The assistant gives helpful, detailed, and polite answers to the user's questions. ",
    user: 'USER: ',
    image: `${IMAGE}\n`,
    afterPicture: 'apart',
    assistant: ' ASSISTANT:',
    answer: ' ',
    end,
    stops: [end],
  };
}

/** Every token that a template names: it stands for itself there, and is never made from what somebody types. */
export function tokensOf({ begin, tokens, end, stops }: PromptTemplate): string[] {
  return [...new Set([...(begin === undefined ? [] : [begin]), ...tokens, end, ...stops])];
}
