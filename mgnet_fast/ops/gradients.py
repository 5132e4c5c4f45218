"""The gradients of a glimpse with respect to its image and its region.

Each is a registered op, for calls that a tracer or a mode must see, and a direct call otherwise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backends.choice import LAUNCHERS
from .sampling import GRADIENT, Sampling

NO_SECOND_DERIVATIVE = (
    "the gradient of a glimpse cannot be differentiated again; neither can that of grid_sample"
)


class Saved:
    """What the backward pass needs. Tensors are saved through autograd, which detects in-place
    changes and applies its hooks to them; the rest is stored as attributes."""

    __slots__ = ("_normalization", "_options", "_plans")

    def __init__(self, ctx: Any, sampling: Sampling, *rows: Tensor) -> None:
        image, index, self._normalization, pool, self._options, self._plans = sampling
        ctx.save_for_backward(image, index, pool, *rows)

    def restored(self, ctx: Any) -> tuple[Any, ...]:
        """The sampling, then the rows."""
        image, index, pool, *rows = ctx.saved_tensors
        constants = self._normalization
        return Sampling(image, index, constants, pool, self._options, self._plans), *rows


def _to_region(*values: Any) -> Tensor:
    sampling, others = GRADIENT.record(values)
    launcher = LAUNCHERS[sampling.options.backend]
    return launcher.region_gradient(sampling, others["region"], others["grad"])


def _to_image(*values: Any) -> Tensor:
    sampling, others = GRADIENT.record(values)
    launcher = LAUNCHERS[sampling.options.backend]
    return launcher.image_gradient(sampling, others["region"], others["grad"])


def refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(NO_SECOND_DERIVATIVE)


_region_op = torch.library.custom_op(
    "mgnet_fast::glimpse_backward_region", _to_region, mutates_args=(), schema=GRADIENT.text
)
_image_op = torch.library.custom_op(
    "mgnet_fast::glimpse_backward_image", _to_image, mutates_args=(), schema=GRADIENT.text
)
_region_op.register_autograd(refuse_second_derivative)
_image_op.register_autograd(refuse_second_derivative)


@_region_op.register_fake
def _(*values: Any) -> Tensor:
    region: Tensor = GRADIENT.record(values)[1]["region"]
    return region.new_empty(region.shape)


@_image_op.register_fake
def _(*values: Any) -> Tensor:
    return torch.empty_like(GRADIENT.record(values)[0].image)


def region_gradient(sampling: Sampling, region: Tensor, grad: Tensor) -> Tensor:
    """d loss / d region, of the dtype and shape of ``region``."""
    # With create_graph=True the registered op runs: it refuses a second derivative by name.
    if sampling.plans is None or torch.is_grad_enabled():
        return _region_op(*GRADIENT.flat(sampling, region=region, grad=grad))
    return LAUNCHERS[sampling.options.backend].region_gradient(sampling, region, grad)


def image_gradient(sampling: Sampling, region: Tensor, grad: Tensor) -> Tensor:
    """d loss / d image, of the dtype and layout of the image, whose pixels are not read."""
    if sampling.plans is None or torch.is_grad_enabled():
        return _image_op(*GRADIENT.flat(sampling, region=region, grad=grad))
    return LAUNCHERS[sampling.options.backend].image_gradient(sampling, region, grad)
