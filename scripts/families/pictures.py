"""Writes test/fixtures/pillow/paths.{json,safetensors}: what transformers' own image processors (with Pillow) make of the pictures beside them, as pixels.
Run from the repository's root, with transformers 5, Pillow and safetensors."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, ViTImageProcessorPil

FOLDER = Path('test/fixtures/pillow')
BICUBIC, BILINEAR = 3, 2
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def cropped(kind, shortest, crop, mean, std):
    return dict(image_processor_type=kind, do_convert_rgb=True, do_resize=True, size={'shortest_edge': shortest}, resample=BICUBIC, do_center_crop=True,
                crop_size={'height': crop, 'width': crop}, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=mean, image_std=std)


# Name: preprocessor_config.json, and the colour of the square that LLaVA's code pads to beforehand.
PATHS = {
    'clip-84': (cropped('CLIPImageProcessor', 84, 84, CLIP_MEAN, CLIP_STD), None),
    'clip-pad-84': (cropped('CLIPImageProcessor', 84, 84, CLIP_MEAN, CLIP_STD), [122, 116, 104]),
    'dinov2-80-70': (cropped('BitImageProcessor', 80, 70, IMAGENET_MEAN, IMAGENET_STD), None),
    'vit-64': (dict(image_processor_type='ViTImageProcessor', do_resize=True, size={'height': 64, 'width': 64}, resample=BILINEAR, do_rescale=True,
                    rescale_factor=1 / 255, do_normalize=True, image_mean=[0.5] * 3, image_std=[0.5] * 3), None),
}
CLASSES = {'CLIPImageProcessor': CLIPImageProcessorPil, 'BitImageProcessor': BitImageProcessorPil, 'ViTImageProcessor': ViTImageProcessorPil}


def square(picture, colour):
    side = max(picture.size)
    out = Image.new('RGB', (side, side), tuple(colour))
    out.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return out


def main():
    cases, tensors = [], {}
    for path, (config, colour) in PATHS.items():
        process = CLASSES[config['image_processor_type']](**{k: v for k, v in config.items() if k != 'image_processor_type'})
        for file in sorted(FOLDER.glob('*.png')):
            picture = Image.open(file).convert('RGB')
            pixels = process(square(picture, colour) if colour else picture, do_rescale=False, do_normalize=False)['pixel_values'][0]
            assert pixels.dtype == np.uint8, pixels.dtype
            tensors[f'{file.stem}.{path}'] = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        cases.append({'path': path, 'pad': colour, 'preprocessor_config': config})
    (FOLDER / 'paths.json').write_text(json.dumps(cases, indent=1) + '\n')
    save_file(tensors, FOLDER / 'paths.safetensors')


main()
