"""Launches a kernel on the device of its tensors, with the numbers that go with them."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from .source import Source, geometry, index_stride
from .tiles import WARPS, Tiling, real_type, tiling

# Sizes of a launch on glimpses that no kernel is compiled for anew.
UNSPECIALIZED = [
    "images", "elements", "channels", "image_height", "image_width", "height", "width", "tiles",
    "tiles_across", "groups",
]  # fmt: skip


def tiles_of(samples: Tensor, sampling: Any, most_steps: int) -> Tiling:
    """How glimpses [N, C, h, w] are cut, with up to so many planes for a program."""
    source = Source.of(sampling.image, sampling.pool)
    _, channels, height, width = samples.shape
    return tiling(height, width, channels, source.interleaved, most_steps)


def launch_on_glimpses(
    kernel: Any,
    tensors: tuple[Tensor | None, ...],
    sampling: Any,
    regions: Tensor,
    samples: Tensor,
    cut: Tiling,
    others: tuple[Any, ...] = (),
    **constants: Any,
) -> None:
    """A program for each tile of ``samples`` [N, C, h, w], the glimpses or their gradient.

    The kernel gets the tensors, the sizes, the strides of image, regions, index and samples, and
    the others.
    """
    image, index, _, pool, options, _ = sampling
    source = Source.of(image, pool)
    count, channels, height, width = samples.shape
    arguments = (
        *tensors,
        source.images, source.elements, channels, source.height, source.width, height, width,
        cut.tiles, cut.tiles_across, cut.groups,
        *source.strides, *regions.stride(), index_stride(index), *samples.stride(), *others,
    )  # fmt: skip
    constants |= {
        **geometry(options, regions),
        "OFFSET": source.offset_type(samples),
        "REAL": real_type(image),
        **cut.constants,
    }
    launch(kernel, count * cut.programs, image.device, arguments, constants, WARPS)


def launch(
    kernel: Any,
    programs: int,
    device: torch.device,
    arguments: tuple[Any, ...],
    constants: dict[str, Any],
    warps: int,
) -> None:
    if programs == 0:
        return
    if device.type != "cuda":
        kernel[(programs,)](*arguments, **constants, num_warps=warps)
        return
    if device.index != torch.cuda.current_device():
        with torch.cuda.device(device):
            launch(kernel, programs, device, arguments, constants, warps)
        return
    options = compile_options(_capability(device.index))
    kernel[(programs,)](*arguments, **constants, num_warps=warps, **options)


def compile_options(capability: int) -> dict[str, int]:
    """Compiler options besides the number of warps, for compute capability 80, 90, ..."""
    # By default, ptxas spills 8 bytes in two kernels for sm_80 to fit one more block on a
    # multiprocessor. With an explicit limit it does not. For newer GPUs it never spills.
    return {"maxnreg": 255} if capability < 90 else {}


@functools.cache
def _capability(index: int | None) -> int:
    major, minor = torch.cuda.get_device_capability(index)
    return 10 * major + minor
