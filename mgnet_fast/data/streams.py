"""Random numbers addressed by (seed, purpose, epoch), independent of the order of use."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

_WORD = 2**64


class Purpose(IntEnum):
    """The purpose of a stream; streams of different purpose are independent."""

    ORDER = 1
    PLACE = 2
    NOISE_START = 3
    NOISE = 4
    CLUTTER = 5
    IMAGE = 16


def bit_stream(seed: int, purpose: Purpose, epoch: int, item: int = 0) -> np.random.Philox:
    """A counter-based bit stream with the key (seed, purpose and epoch).

    `item` sets the counter: 2^64 blocks of four words lie between consecutive items.
    """
    key = np.array([seed % _WORD, (int(purpose) << 56 | epoch) % _WORD], dtype=np.uint64)
    return np.random.Philox(key=key, counter=np.array([0, item, 0, 0], dtype=np.uint64))


def words(bits: np.random.Philox, count: int) -> npt.NDArray[np.uint64]:
    """uint64 [count], 64 random bits each."""
    return np.asarray(bits.random_raw(count), dtype=np.uint64)


def uniform(bits: np.random.Philox, count: int) -> npt.NDArray[np.float64]:
    """float64 [count], uniform in [0, 1).

    Made from raw bits, which numpy guarantees to keep, unlike its distributions.
    """
    return to_uniform(words(bits, count))


def to_uniform(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """float64 in [0, 1) of 64 random bits each."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(bits: np.random.Philox, count: int) -> npt.NDArray[np.int64]:
    """int64 [count], a random order of 0..count-1."""
    return np.argsort(words(bits, count), kind="stable")
