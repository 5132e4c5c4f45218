"""The Triton backend: hands a sampling to the kernels of ``mgnet_fast.kernels``.

Nothing is checked that would wait for the GPU: an image_index out of range gives NaN, and so does
an entry of a pool that points outside its buffer. Triton is imported with the first glimpse.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

from ..sampling import RangeMap, Sampling
from . import native


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device != "cuda" and not (device == "cpu" and interpreted):
        return "it serves CUDA tensors (CPU tensors in Triton's interpreter: TRITON_INTERPRET=1)"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; pip install 'mgnet-fast[triton]'"
    if importlib.util.find_spec("mgnet_fast.kernels") is None:
        return "its kernels are not installed; run pip install in the source tree"
    return None


@functools.cache
def _kernels(name: str) -> Any:
    return importlib.import_module(f"mgnet_fast.kernels.{name}")


class Launcher:
    """The functions of :class:`native.Launcher`."""

    def glimpse(self, sampling: Sampling, region: Tensor) -> Tensor:
        samples = sampling.new_samples(region.shape[0])
        ready = _ready(sampling)
        _kernels("glimpse").run_glimpse(samples, ready, region)
        _filter(samples, ready, region)
        return samples

    def region_gradient(self, sampling: Sampling, region: Tensor, grad: Tensor) -> Tensor:
        gradient = region.new_empty(region.shape)
        sums = _region_sums(grad, sampling, region)
        _kernels("glimpse_backward_region").run_region_gradient(gradient, sums)
        return gradient

    def image_gradient(self, sampling: Sampling, region: Tensor, grad: Tensor) -> Tensor:
        if sampling.pool is not None:
            raise RuntimeError(native.NO_GRADIENT_OF_POOLS)
        gradient = torch.empty_like(sampling.image)
        ready = _ready(sampling)
        if sampling.options.antialias:
            kernels = _kernels("filter.filtered_backward_image")
            kernels.run_filtered_image_gradient(gradient, grad, ready, region)
        else:
            kernels = _kernels("glimpse_backward_image")
            kernels.run_image_gradient(gradient, grad, ready, region)
        return gradient

    def glimpse_from_logits(
        self, sampling: Sampling, logits: Tensor, range_map: RangeMap
    ) -> tuple[Tensor, Tensor]:
        samples = sampling.new_samples(logits.shape[0])
        region = logits.new_empty(logits.shape)
        ready = _ready(sampling)
        _kernels("glimpse").run_glimpse(samples, ready, logits, region, range_map)
        _filter(samples, ready, region)
        return samples, region

    def logits_gradient(
        self,
        sampling: Sampling,
        logits: Tensor,
        region: Tensor,
        range_map: RangeMap,
        grad_samples: Tensor,
        grad_region: Tensor,
    ) -> Tensor:
        gradient = logits.new_empty(logits.shape)
        sums = _region_sums(grad_samples, sampling, region)
        kernels = _kernels("glimpse_backward_logits")
        kernels.run_logits_gradient(gradient, sums, grad_region, logits, range_map)
        return gradient


def _filter(samples: Tensor, ready: Sampling, region: Tensor) -> None:
    """A second launch for the glimpses that need the filter."""
    if ready.options.antialias:
        _kernels("filter.filtered_glimpse").run_filtered_glimpse(samples, ready, region)


def _region_sums(grad: Tensor, sampling: Sampling, region: Tensor) -> Tensor:
    ready = _ready(sampling)
    sums: Tensor = _kernels("glimpse_backward_region").run_region_sums(grad, ready, region)
    if ready.options.antialias:
        _kernels("filter.filtered_backward_region").run_filtered_sums(sums, grad, ready, region)
    return sums


def _ready(sampling: Sampling) -> Sampling:
    """With the table and the constants contiguous, as the kernels read them."""
    native.check_pool(sampling)
    pool, normalization = sampling.pool, sampling.normalization
    return sampling._replace(
        pool=None if pool is None else pool.contiguous(),
        normalization=None if normalization is None else normalization.contiguous(),
    )


LAUNCHER = Launcher()
