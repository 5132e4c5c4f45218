"""The glimpse from localization logits: sigmoid, gradient rescaling, range map and sampling in one.

As in ops/glimpse.py, a call runs as a registered op if a tracer or mode must see it, otherwise
through one autograd.Function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .arguments import check_range_map, is_half
from .backends import reference
from .backends.choice import LAUNCHERS
from .gradients import Saved, image_gradient, refuse_second_derivative
from .images.image_pool import ImagePool
from .resolve import resolved
from .sampling import FROM_LOGITS, LOGITS_GRADIENT, RangeMap, Sampling
from .tracing import refuse_tangents


def glimpse_from_logits(
    image: Tensor | ImagePool,
    logits: Tensor,
    size: int | tuple[int, int],
    *,
    scale_range: tuple[float, float] = (0.2, 0.5),
    gradient_scale: float = 0.02,
    image_index: Tensor | None = None,
    align_corners: bool = True,
    padding_mode: str = "zeros",
    mean: Sequence[float] | Tensor | None = None,
    std: Sequence[float] | Tensor | None = None,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format | None = None,
    backend: str | None = None,
    antialias: bool = False,
    clamp_to_region: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""The glimpse that the localization network asks for, and its region (MGNet, section 3.3).

    With ``p = rescale_gradient(sigmoid(logits), gradient_scale)`` and
    ``(s_min, s_max) = scale_range`` (eq. 4 and 5):

    .. math:: s = p_0 (s_{max} - s_{min}) + s_{min}, \quad (x, y) = (2 (p_1, p_2) - 1)(1 - s)

    so that a region with ``s_max <= 1`` never leaves the image. Then as :func:`glimpse`, all in
    one kernel forward and one backward.

    Args:
        image (Tensor[B, C, H, W] or ImagePool): as in :func:`glimpse`.
        logits (Tensor[N, 3]): outputs of the localization layer, any floating dtype; half
            precision is raised to float32 before the sigmoid.
        size: height and width of the glimpse in pixels, or one number for both.
        scale_range: smallest and largest s.
        gradient_scale: the paper's factor s of section 3.3 (0.02 for ResNet-18, 0.01 for the
            others); multiplies every gradient that reaches the logits.

    The other arguments are those of :func:`glimpse`.

    Returns:
        The glimpse, Tensor[N, C, h, w], and the region, Tensor[N, 3], float32 (float64 for
        float64 logits). Both are differentiable, once, in ``logits``; the glimpse in ``image``.

    Raises:
        TypeError, ValueError: as :func:`glimpse`; also a scale_range that is not two finite
            numbers with s_min <= s_max.
    """
    range_map = RangeMap(*check_range_map(scale_range, gradient_scale))
    if is_half(logits):
        logits = logits.float()
    given = (
        size, align_corners, padding_mode, mean, std, dtype, memory_format, backend, antialias,
        clamp_to_region,
    )  # fmt: skip
    sampling = resolved(image, "logits", (3,), logits, image_index, given)
    if sampling.options.backend == "reference":
        region = reference.region_from_logits(logits, range_map)
        return reference.glimpse(sampling, region), region
    if sampling.plans is None:
        refuse_tangents(sampling.image, logits)
        arguments = FROM_LOGITS.flat(sampling, logits=logits, **range_map._asdict())
        return glimpse_from_logits_op(*arguments)
    if torch.is_grad_enabled() and (sampling.image.requires_grad or logits.requires_grad):
        return _EagerGlimpseFromLogits.apply(sampling.image, logits, sampling, range_map)
    launcher = LAUNCHERS[sampling.options.backend]
    return launcher.glimpse_from_logits(sampling, logits, range_map)


def _range_map(others: dict[str, Any]) -> RangeMap:
    return RangeMap(*[others[name] for name in RangeMap._fields])


def _forward(*values: Any) -> tuple[Tensor, Tensor]:
    sampling, others = FROM_LOGITS.record(values)
    launcher = LAUNCHERS[sampling.options.backend]
    return launcher.glimpse_from_logits(sampling, others["logits"], _range_map(others))


glimpse_from_logits_op = torch.library.custom_op(
    "mgnet_fast::glimpse_from_logits", _forward, mutates_args=(), schema=FROM_LOGITS.text
)


@glimpse_from_logits_op.register_fake
def _(*values: Any) -> tuple[Tensor, Tensor]:
    sampling, others = FROM_LOGITS.record(values)
    logits = others["logits"]
    return sampling.new_samples(logits.shape[0]), logits.new_empty(logits.shape)


def _logits_gradient(*values: Any) -> Tensor:
    sampling, others = LOGITS_GRADIENT.record(values)
    return LAUNCHERS[sampling.options.backend].logits_gradient(
        sampling, others["logits"], others["region"], _range_map(others), others["grad_samples"],
        others["grad_region"],
    )  # fmt: skip


logits_gradient_op = torch.library.custom_op(
    "mgnet_fast::glimpse_from_logits_backward",
    _logits_gradient,
    mutates_args=(),
    schema=LOGITS_GRADIENT.text,
)
logits_gradient_op.register_autograd(refuse_second_derivative)


@logits_gradient_op.register_fake
def _(*values: Any) -> Tensor:
    logits: Tensor = LOGITS_GRADIENT.record(values)[1]["logits"]
    return logits.new_empty(logits.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    sampling, others = FROM_LOGITS.record(inputs)
    ctx.range_map = _range_map(others)
    ctx.saved = Saved(ctx, sampling, others["logits"], output[1])


def _gradients(
    ctx: Any, grad_samples: Tensor, grad_region: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    sampling, logits, region = ctx.saved.restored(ctx)
    wants_image, wants_logits = ctx.needs_input_grad[:2]
    to_image = image_gradient(sampling, region, grad_samples) if wants_image else None
    if not wants_logits:
        return to_image, None
    if sampling.plans is None or torch.is_grad_enabled():
        arguments = LOGITS_GRADIENT.flat(
            sampling, logits=logits, region=region, grad_samples=grad_samples,
            grad_region=grad_region, **ctx.range_map._asdict(),
        )  # fmt: skip
        return to_image, logits_gradient_op(*arguments)
    to_logits = LAUNCHERS[sampling.options.backend].logits_gradient(
        sampling, logits, region, ctx.range_map, grad_samples, grad_region
    )
    return to_image, to_logits


def _backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return (*_gradients(ctx, *grads), *[None] * (len(ctx.needs_input_grad) - 2))


glimpse_from_logits_op.register_autograd(_backward, setup_context=_setup_context)


class _EagerGlimpseFromLogits(torch.autograd.Function):
    """The op without the dispatcher; image and logits are those of the gradients."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, logits: Tensor, sampling: Sampling, range_map: RangeMap
    ) -> tuple[Tensor, Tensor]:
        launcher = LAUNCHERS[sampling.options.backend]
        samples, region = launcher.glimpse_from_logits(sampling, logits, range_map)
        ctx.range_map = range_map
        ctx.saved = Saved(ctx, sampling, logits, region)
        return samples, region

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (*_gradients(ctx, *grads), None, None)
