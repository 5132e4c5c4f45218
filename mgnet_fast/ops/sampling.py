"""The record of a sampling: what is sampled, how, and by which backend.

It is made once (ops/resolve.py, or from the arguments of a registered op) and is all that
travels from the public functions to the kernels. An option of the op is a field of
:class:`Options` and an argument of the schemas below.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .arguments import check_edges

# By the names that op schemas carry: plain strings, which every tracer takes.
RESULT_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
RESULT_NAMES = {dtype: name for name, dtype in RESULT_DTYPES.items()}


class Options(NamedTuple):
    """How images are sampled: checked, and without tensors.

    Attributes:
        out_dtype: of the glimpses, a key of ``RESULT_DTYPES``.
        channels_last: whether the glimpses are, or contiguous.
        backend: that runs the kernels; "reference" where plain PyTorch does.
    """

    height: int
    width: int
    align_corners: bool
    padding_mode: str
    out_dtype: str
    channels_last: bool
    backend: str
    antialias: bool = False
    clamp_to_region: bool = False


class RangeMap(NamedTuple):
    """From localization logits to regions: see :func:`mgnet_fast.glimpse_from_logits`."""

    scale_min: float
    scale_max: float
    gradient_scale: float


class Sampling(NamedTuple):
    """What is sampled, and how.

    Attributes:
        image (Tensor[B, C, H, W]): or the buffer of a pool.
        image_index (Tensor[N]): int64 or int32, the image of each region, or None: one each.
        normalization (Tensor[2, C]): float64 rows (scale, bias), or None.
        pool (Tensor[B, 6]): the table of an ImagePool, or None.
        plans: what a backend keeps for calls with tensors of this layout. None where the call
            must be seen by a tracer or a mode, and so goes through the dispatcher.
    """

    image: Tensor
    image_index: Tensor | None
    normalization: Tensor | None
    pool: Tensor | None
    options: Options
    plans: dict[Any, Any] | None = None

    def new_samples(self, count: int) -> Tensor:
        """Uninitialised samples [count, C, height, width]."""
        image, options = self.image, self.options
        shape = (count, image.shape[1], options.height, options.width)
        dtype = RESULT_DTYPES[options.out_dtype]
        if options.channels_last:
            return torch.empty(
                shape, dtype=dtype, device=image.device, memory_format=torch.channels_last
            )
        if dtype is image.dtype:  # naming a dtype or a device takes longer
            return image.new_empty(shape)
        return image.new_empty(shape, dtype=dtype)


class Schema:
    """The flat arguments of a registered op, and the way from a record to them and back."""

    def __init__(self, arguments: str, result: str) -> None:
        self.text = f"({arguments}) -> {result}"
        self._names = tuple(re.findall(r"(\w+)(?:=\w+)?(?:,|$)", arguments))

    def flat(self, sampling: Sampling, **others: Any) -> tuple[Any, ...]:
        """The arguments in their order; ``others`` are those that no record holds."""
        values = []
        for name in self._names:
            if name in others:
                values.append(others[name])
            elif name in Sampling._fields:
                values.append(getattr(sampling, name))
            else:
                values.append(getattr(sampling.options, name))
        return tuple(values)

    def record(self, values: tuple[Any, ...]) -> tuple[Sampling, dict[str, Any]]:
        """The record, and the arguments that are no part of it by name.

        The dispatcher leaves out arguments at the end that have their default. A backward op has
        no size, dtype and format of the glimpse: they are those of the gradient that arrives.
        """
        named = dict(zip(self._names, values, strict=False))
        gradient = named.get("grad_samples", named.get("grad"))
        options = {name: named.pop(name) for name in Options._fields if name in named}
        if gradient is not None:
            options["height"], options["width"] = gradient.shape[2:]
            options["out_dtype"] = RESULT_NAMES[gradient.dtype]
            options["channels_last"] = False
        how = Options(**options)
        check_edges(how.antialias, how.clamp_to_region)
        tensors = {name: named.pop(name, None) for name in Sampling._fields[:4]}
        return Sampling(**tensors, options=how), named


# The schemas are public: exported programs call these ops by position. A new option goes to the
# end, with a default, here and in Options.
_LATER = "Tensor? pool=None, bool antialias=False, bool clamp_to_region=False"
_CONSTANTS = "Tensor? image_index, Tensor? normalization"
_RANGE = "float scale_min, float scale_max, float gradient_scale"
_FORWARD = (
    "SymInt height, SymInt width, bool align_corners, str padding_mode, str out_dtype, "
    f"bool channels_last, str backend, {_LATER}"
)
_BACKWARD = f"bool align_corners, str padding_mode, str backend, {_LATER}"

GLIMPSE = Schema(f"Tensor image, Tensor region, {_CONSTANTS}, {_FORWARD}", "Tensor")
GRADIENT = Schema(f"Tensor grad, Tensor image, Tensor region, {_CONSTANTS}, {_BACKWARD}", "Tensor")
FROM_LOGITS = Schema(
    f"Tensor image, Tensor logits, {_CONSTANTS}, {_RANGE}, {_FORWARD}", "(Tensor, Tensor)"
)
LOGITS_GRADIENT = Schema(
    "Tensor grad_samples, Tensor grad_region, Tensor image, Tensor logits, Tensor region, "
    f"{_CONSTANTS}, {_RANGE}, {_BACKWARD}",
    "Tensor",
)
