"""Inputs and weights with which the published TNet was run, made from names and seeds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[2] / "models" / "tnet" / "golden"
_LIKE_ONE = {"gamma": 1.0}


def variables(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """The value of each variable: normal numbers drawn by its name, scaled by its kind."""
    return {name: _variable(name, shape, seed) for name, shape in shapes.items()}


def images(size: int, seed: int) -> Tensor:
    """The two images, [2, 3, size, size] float32."""
    pixels = np.random.default_rng(seed).standard_normal((2, size, size, 3)).astype(np.float32)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _variable(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    generator = np.random.default_rng([zlib.crc32(name.encode()), seed])
    n = generator.standard_normal(shape).astype(np.float32)
    kind = name.split("/")[-1]
    if kind == "baseline_var":
        return np.full(shape, 0.5, np.float32)
    if kind == "moving_variance":
        return np.float32(0.8) * np.exp(np.float32(0.2) * n)
    if kind == "kernel":
        return n * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    if kind == "depthwise_kernel":
        return n * np.float32(np.sqrt(2 / np.prod(shape[:2])))
    return np.float32(_LIKE_ONE.get(kind, 0.0)) + np.float32(0.1) * n
