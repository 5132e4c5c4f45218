"""Turns the arguments of a public op into a :class:`Sampling`: checks them, chooses the backend.

The result is cached by everything that decides it except the values of the tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .arguments import (
    check_edges,
    check_flag,
    check_image,
    check_image_index,
    check_padding_mode,
    check_rows,
    height_and_width,
    is_channels_last,
    known_normalizations,
    normalization,
    output_dtype,
    remember,
)
from .backends import choice as backends
from .images.image_pool import ImagePool
from .sampling import RESULT_NAMES, Options, Sampling
from .tracing import is_plain_eager, under_functorch


class Arguments(NamedTuple):
    """The options of a public op, as its caller gave them."""

    size: int | tuple[int, int]
    align_corners: bool
    padding_mode: str
    mean: Sequence[float] | Tensor | None
    std: Sequence[float] | Tensor | None
    dtype: torch.dtype | None
    memory_format: torch.memory_format | None
    backend: str | None
    antialias: bool
    clamp_to_region: bool


# Maps a key to (normalization, options, plans). Checking a call anew takes as long as a small
# glimpse.
_known: dict[Any, tuple[Tensor | None, Options, dict[Any, Any]]] = {}


def resolved(
    image: Tensor | ImagePool,
    name: str,
    columns: tuple[int, ...],
    rows: Tensor,
    image_index: Tensor | None,
    given: tuple[Any, ...],
) -> Sampling:
    """The sampling of ``rows``, called ``name``: the regions or logits, of so many columns.

    ``given`` are the fields of :class:`Arguments`; a bare tuple is built in less time.
    """
    pool = None
    if isinstance(image, ImagePool):
        pool, image = image.table, image.buffer
    plans: dict[Any, Any] | None = None
    key = None
    if is_plain_eager(image, rows, image_index, pool):
        plans = {}
        key = _key(image, columns, rows, image_index, pool, given)
    if key is not None:
        try:
            known = _known.get(key)
        except TypeError:  # an argument of the wrong type, which the checks below will name
            key = known = None
        if known is not None:
            constants, options, plans = known
            fields = (image, image_index, constants, pool, options, plans)
            return tuple.__new__(Sampling, fields)  # in half the time of Sampling(*fields)
    arguments = Arguments(*given)
    check_image(image)
    check_rows(name, rows, image, columns)
    height, width = height_and_width(arguments.size)
    images = image.shape[0] if pool is None else pool.shape[0]
    check_image_index(image_index, name, rows, image, images)
    align_corners = check_flag("align_corners", arguments.align_corners)
    antialias = check_flag("antialias", arguments.antialias)
    clamp_to_region = check_flag("clamp_to_region", arguments.clamp_to_region)
    check_edges(antialias, clamp_to_region)
    check_padding_mode(arguments.padding_mode)
    out_dtype = RESULT_NAMES[output_dtype(image, arguments.dtype)]
    constants = normalization(image, arguments.mean, arguments.std)
    channels_last = is_channels_last(image, arguments.memory_format)
    backend = _chosen(image, arguments.backend, pool is not None)
    if rows.shape[0] == 0 or image.shape[1] == 0:
        backend = "reference"  # nothing to sample; it keeps the graph of autograd
    options = Options(
        height, width, align_corners, arguments.padding_mode, out_dtype, channels_last, backend,
        antialias, clamp_to_region,
    )  # fmt: skip
    if key is not None and plans is not None:
        remember(_known, key, (constants, options, plans))
    return Sampling(image, image_index, constants, pool, options, plans)


def _key(
    image: Tensor,
    columns: tuple[int, ...],
    rows: Tensor,
    image_index: Tensor | None,
    pool: Tensor | None,
    given: tuple[Any, ...],
) -> Any:
    """A key for the cache, or None if an argument could change without its key changing."""
    if image is None or rows is None:
        return None
    size, _, _, mean, std, *_ = given
    if type(size) is not int and not _is_constant(size, int):
        return None  # as keys, True and 1.0 equal 1
    if not _is_constant(mean, float) or not _is_constant(std, float):
        return None
    others = None
    if image_index is not None or pool is not None:
        others = tuple(
            [
                None if each is None else (each.shape, each.dtype, each.device)
                for each in (image_index, pool)
            ]
        )
    return (
        columns, image.shape, image.stride(), image.dtype, image.device, rows.shape, rows.stride(),
        rows.dtype, rows.device, others, given,
    )  # fmt: skip


def _is_constant(value: Any, kind: type) -> bool:
    """Whether ``value`` may be part of a key: None or numbers. Tensors can change in place."""
    if value is None:
        return True
    return type(value) is tuple and all(type(item) is kind or type(item) is int for item in value)


def _chosen(image: Tensor, requested: str | None, pool: bool) -> str:
    # Registered ops do not go through functorch's transforms (vmap, grad); plain PyTorch does.
    if requested is None and under_functorch():
        return "reference"
    return backends.choose(image.device.type, requested, pool)


def known_constants() -> list[Tensor]:
    """The constants of recent calls. A captured graph reads them at their addresses, so whoever
    keeps a graph must keep these tensors, too."""
    of_calls = [constants for constants, _, _ in _known.values() if constants is not None]
    return [*of_calls, *known_normalizations()]
