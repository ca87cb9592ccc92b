/** What the published towers' own processors do to a picture: the numbers of their preprocessor_config.json. */
import type { Preprocessing } from './manifest.js';

type Rgb = [number, number, number];

export interface TowerPicture extends Pick<Preprocessing, 'filter' | 'mean' | 'std'> {
  /** What its processor does to a picture that is not square. */
  aspect: 'squash' | 'crop';
  /** Shorter side after resizing ÷ side of what the tower sees. */
  margin: number;
}

/** google/siglip-*: SiglipImageProcessor. */
export const SIGLIP: TowerPicture = { aspect: 'squash', margin: 1, filter: 'bicubic', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/** openai/clip-vit-*: CLIPImageProcessor. */
export const CLIP: TowerPicture = {
  aspect: 'crop',
  margin: 1,
  filter: 'bicubic',
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};

/** facebook/dinov2-*: BitImageProcessor, published for 224 of 256 pixels; other sizes keep that share. */
export const DINOV2: TowerPicture = {
  aspect: 'crop',
  margin: 256 / 224,
  filter: 'bicubic',
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** google/vit-*: ViTImageProcessor. */
export const VIT: TowerPicture = { aspect: 'squash', margin: 1, filter: 'bilinear', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/**
 * A tower's preprocessing at `imageSize` pixels per side. `aspect` of `pad` puts LLaVA's border around the picture before the tower's own processor
 * gets it, so that DINOv2 crops into the border.
 */
export function preprocessing(
  { margin, filter, mean, std, aspect: own }: TowerPicture,
  imageSize: number,
  aspect: Preprocessing['aspect'] = own,
): Preprocessing {
  return { aspect, shortestSide: Math.round(imageSize * margin), filter, background: borderColour(mean), mean, std };
}

/** The colour of LLaVA's border (expand2square): the mean, cut to whole numbers. */
export function borderColour(mean: Rgb): Rgb {
  return mean.map((value) => Math.trunc(value * 255)) as Rgb;
}

/**
 * Pixels of the longer side of a picture that loses nothing, up to sides of 2 : 1. Where a border makes it square its longer side becomes the
 * shortestSide; otherwise its shorter side does.
 */
export function longerSide({ aspect, shortestSide }: Preprocessing): number {
  return aspect === 'pad' ? shortestSide : 2 * shortestSide;
}
