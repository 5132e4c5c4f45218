"""Computes the gradient of the logits from the partial sums of the region gradient."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .axis import probabilities
from .glimpse_backward_region import sum_of_partials


@triton.jit
def logits_gradient_kernel(
    sums, grad_region, logits, gradient,
    grad_stride_n, grad_stride_k, logits_stride_n, logits_stride_k,
    scale_min: tl.float64, scale_max: tl.float64, gradient_scale: tl.float64,
    PARTIALS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: the logits of one glimpse. The gradient is contiguous."""
    n = tl.program_id(0).to(tl.int64)
    scale_x, scale_y, d_x, d_y = sum_of_partials(sums, n, PARTIALS, BLOCK)
    incoming = grad_region + n * grad_stride_n
    d_scale = scale_x + scale_y + tl.load(incoming).to(tl.float64)
    d_x += tl.load(incoming + grad_stride_k).to(tl.float64)
    d_y += tl.load(incoming + 2 * grad_stride_k).to(tl.float64)

    p0, p1, p2 = probabilities(logits, n, logits_stride_n, logits_stride_k)
    scale = p0 * (scale_max - scale_min) + scale_min
    # the range of x and y shrinks as the scale grows
    d_scale -= d_x * (2.0 * p1 - 1.0) + d_y * (2.0 * p2 - 1.0)
    d_p0 = d_scale * (scale_max - scale_min)
    d_p1 = 2.0 * d_x * (1.0 - scale)
    d_p2 = 2.0 * d_y * (1.0 - scale)
    dtype: tl.constexpr = gradient.dtype.element_ty
    to = gradient + 3 * n
    tl.store(to, (d_p0 * gradient_scale * p0 * (1.0 - p0)).to(dtype))
    tl.store(to + 1, (d_p1 * gradient_scale * p1 * (1.0 - p1)).to(dtype))
    tl.store(to + 2, (d_p2 * gradient_scale * p2 * (1.0 - p2)).to(dtype))


def run_logits_gradient(
    gradient: Tensor,
    sums: Tensor,
    grad_region: Tensor,
    logits: Tensor,
    range_map: Any,
) -> None:
    """Write the gradient [N, 3] from the partial sums and the gradient of the returned region."""
    arguments: tuple[Any, ...] = (
        sums, grad_region, logits, gradient, *grad_region.stride(), *logits.stride(), *range_map,
    )  # fmt: skip
    constants = {"PARTIALS": sums.shape[1], "BLOCK": 32}
    count = logits.shape[0]
    launching.launch(logits_gradient_kernel, count, sums.device, arguments, constants, warps=1)
