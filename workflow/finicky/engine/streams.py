"""Random streams: every draw is named by what it is for, never by where it happens."""

import hashlib

import torch


def generator(*key):
    """A CPU generator seeded by a hash of `key`, e.g. `generator(seed, "weights", layer)`.

    Draws depend on the key alone: not on fusing, sharding, other axes or earlier draws.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def permutation(n, *key):
    """A permutation of 0 … n-1 named by `key`; int64 [n]."""
    return torch.randperm(n, generator=generator(*key))
