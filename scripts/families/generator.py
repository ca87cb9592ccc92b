"""Values from names: the same numbers as test/support/family-checkpoint.ts makes, exact in BF16 and F16."""

import hashlib

import numpy as np
import torch

DTYPES = {'F16': torch.float16, 'BF16': torch.bfloat16}


def bits(name, count):
    """`count` 32-bit words: murmur3's finalizer over FNV-1a of the name plus multiples of an odd constant."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    x = np.uint32(seed) + np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return x ^ x >> np.uint32(16)


def tensor(name, shape, gain, offset, dtype):
    """offset + gain · n / 32 with odd n, |n| <= 31."""
    odd = (bits(name, int(np.prod(shape))) >> np.uint32(27)).astype(np.float32) * 2 - 31
    value = torch.from_numpy(offset + gain / 32 * odd).float().reshape(shape)
    stored = value.to(DTYPES[dtype])
    assert torch.equal(stored.float(), value), f'{name} is not exact in {dtype}'
    return stored


def pixels(seed, side):
    """uint8 [side, side, 3]."""
    return (bits(f'picture {seed}', side * side * 3) >> np.uint32(24)).astype(np.uint8).reshape(side, side, 3)


def fingerprint(tensors):
    """sha256 over name and bytes of each tensor in the order of the list."""
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(name.encode())
        digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
