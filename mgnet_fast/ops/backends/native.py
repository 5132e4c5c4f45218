"""The C++ extension, and what the launchers of its CPU and CUDA kernels share.

Tensors go to the extension as addresses. Their sizes, strides and dtypes go before, in a plan
that the extension reads and checks once (csrc/python/bindings.cpp) and that calls with tensors of
the same layout share.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

# torch first: its OpenMP runtime must be the one that the extension finds loaded.
import torch
from torch import Tensor

from ..sampling import RangeMap, Sampling

extension: Any = None
reason = "the extension was not built; install mgnet_fast where a C++ compiler is found"
try:
    extension = importlib.import_module("mgnet_fast._native")
except ModuleNotFoundError:
    pass
except ImportError as error:  # built but broken: the user should know at once
    reason = f"the extension cannot be loaded: {error}"
    warnings.warn(f"mgnet_fast runs without its C++ kernels: {reason}", stacklevel=2)

_CODES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.float16: 2,
    torch.bfloat16: 3,
    torch.uint8: 4,
}
_PADDING_CODES = {"zeros": 0, "border": 1}
_MOST_PLANS = 16  # for one layout of tensors; beyond that, keys such as scale ranges never recur

NO_GRADIENT_OF_POOLS = "the pixels of a pool get no gradient; pass the image itself instead"


def check_pool(sampling: Sampling) -> None:
    """The kernels check the entries of a pool's table against the buffer, not the table itself."""
    pool, buffer = sampling.pool, sampling.image
    if pool is None:
        return
    if pool.dim() != 2 or pool.shape[1] != 6 or pool.dtype != torch.int64:
        raise ValueError(
            f"pool must be int64 of shape [B, 6], got {pool.dtype} of shape {list(pool.shape)}"
        )
    if pool.device != buffer.device or not buffer.is_contiguous():
        raise ValueError("pool must be on the device of image, its flat, contiguous buffer")


def _of_dtype(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # Tensor.to takes most of a microsecond to find that there is nothing to do.
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


class Launcher:
    """Hands a sampling to the functions of the extension whose names begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def queue(self, image: Tensor) -> tuple[int, ...]:
        """Where the kernels run: the last arguments of each function."""
        raise NotImplementedError

    def sums(self, grad: Tensor) -> tuple[Tensor, ...]:
        """Memory that a gradient with respect to regions or logits is summed in."""
        return ()

    def by_image(self, index: Tensor | None, images: int) -> tuple[Tensor | None, ...]:
        """Where a gradient with respect to images finds the glimpses of each image."""
        return ()

    def glimpse(self, sampling: Sampling, region: Tensor) -> Tensor:
        samples = sampling.new_samples(region.shape[0])
        plan = self._plan("forward", sampling, region, samples)
        self._run("glimpse_forward", plan, sampling, region, samples)
        return samples

    def region_gradient(self, sampling: Sampling, region: Tensor, grad: Tensor) -> Tensor:
        gradient = region.new_empty(region.shape)
        key = ("region", grad.dtype, grad.shape, grad.stride())
        plan = self._plan(key, sampling, region, grad)
        others = (gradient, *self.sums(grad))
        self._run("glimpse_backward_region", plan, sampling, region, grad, *others)
        return gradient

    def image_gradient(self, sampling: Sampling, region: Tensor, grad: Tensor) -> Tensor:
        if sampling.pool is not None:
            raise RuntimeError(NO_GRADIENT_OF_POOLS)
        gradient = torch.empty_like(sampling.image)
        key = ("image", grad.dtype, grad.shape, grad.stride(), region.stride())
        plan = self._plan(key, sampling, region, grad, gradient=gradient)
        others = (gradient, *self.by_image(sampling.image_index, gradient.shape[0]))
        self._run("glimpse_backward_image", plan, sampling, region, grad, *others)
        return gradient

    def glimpse_from_logits(
        self, sampling: Sampling, logits: Tensor, range_map: RangeMap
    ) -> tuple[Tensor, Tensor]:
        samples = sampling.new_samples(logits.shape[0])
        region = logits.new_empty(logits.shape)
        plan = self._plan(range_map, sampling, region, samples, logits, range_map)
        self._run("glimpse_from_logits_forward", plan, sampling, region, samples, logits)
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
        incoming = _of_dtype(grad_region, region.dtype)
        grad = grad_samples
        key = (range_map, grad.dtype, grad.shape, grad.stride(), region.stride(), incoming.stride())
        plan = self._plan(key, sampling, region, grad, logits, range_map, incoming)
        others = (logits, incoming, gradient, *self.sums(grad))
        self._run("glimpse_from_logits_backward", plan, sampling, region, grad, *others)
        return gradient

    def _plan(
        self,
        key: Any,
        sampling: Sampling,
        region: Tensor,
        glimpses: Tensor,
        logits: Tensor | None = None,
        range_map: RangeMap | None = None,
        incoming: Tensor | None = None,
        gradient: Tensor | None = None,
    ) -> Any:
        """The extension's plan of a call; ``key`` tells apart those of one kind of sampling."""
        plans = sampling.plans
        if plans is not None and key in plans:
            return plans[key]
        image, _, _, pool, options, _ = sampling
        check_pool(sampling)
        if pool is None:
            layout = (*image.shape, *image.stride(), 0)
        else:
            layout = (pool.shape[0], image.shape[1], 0, image.numel(), 0, 0, 0, 0, 1)
        from_logits = to_image = None
        if logits is not None and range_map is not None:
            strides = (0, 0) if incoming is None else incoming.stride()
            from_logits = (_CODES[logits.dtype], *logits.stride(), *range_map, *strides)
        if gradient is not None:
            to_image = (_CODES[gradient.dtype], *gradient.stride())
        plan = extension.glimpse_plan(
            (_CODES[image.dtype], *layout),
            (_CODES[region.dtype], region.shape[1], *region.stride(), region.shape[0]),
            (_CODES[glimpses.dtype], *glimpses.shape[2:], *glimpses.stride()),
            (
                options.align_corners,
                _PADDING_CODES[options.padding_mode],
                options.antialias,
                options.clamp_to_region,
            ),
            from_logits,
            to_image,
        )
        if plans is not None:
            if len(plans) >= _MOST_PLANS:
                plans.clear()
            plans[key] = plan
        return plan

    def _run(
        self,
        function: str,
        plan: Any,
        sampling: Sampling,
        region: Tensor,
        glimpses: Tensor,
        *others: Tensor | None,
    ) -> None:
        image, index, normalization, pool, _, _ = sampling
        index_at = constants_at = pool_at = 0
        # Bound to their names, as tensors that are made here must live until the call returns.
        if index is not None:
            index = _of_dtype(index, torch.int64).contiguous()
            index_at = index.data_ptr()
        if normalization is not None:
            normalization = _of_dtype(normalization, torch.float64).contiguous()
            constants_at = normalization.data_ptr()
        if pool is not None:
            pool = pool.contiguous()
            pool_at = pool.data_ptr()
        getattr(extension, self._prefix + function)(
            plan, image.data_ptr(), pool_at, region.data_ptr(), index_at, constants_at,
            glimpses.data_ptr(), *[0 if each is None else each.data_ptr() for each in others],
            *self.queue(image),
        )  # fmt: skip
