"""The native CUDA backend: the kernels of csrc/gpu/glimpse_cuda.cu.

They are launched on torch's current stream of the image's device, and nothing waits for them: an
image_index out of range gives NaN. Tensors that are made for a launch may be freed when it
returns, as torch hands their memory to later work of the same stream only.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from . import native


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    if device != "cuda":
        return "it serves CUDA tensors only"
    if native.extension is None:
        return native.reason
    if not getattr(native.extension, "cuda", False):
        return "the extension was built without it; install mgnet_fast where nvcc is found"
    return _device_problem()


@functools.cache
def _device_problem() -> str | None:
    return native.extension.cuda_problem() or None


class Launcher(native.Launcher):
    def queue(self, image: Tensor) -> tuple[int, ...]:
        device = image.device.index
        return device, torch.cuda.current_stream(device).cuda_stream

    def sums(self, grad: Tensor) -> tuple[Tensor, ...]:
        """The four sums of each tile."""
        count, _, height, width = grad.shape
        tiles = native.extension.cuda_tiles(height, width)
        return (torch.empty((count, tiles, 4), dtype=torch.float64, device=grad.device),)

    def by_image(self, index: Tensor | None, images: int) -> tuple[Tensor | None, ...]:
        """Where the glimpses of each image begin, and the glimpses by image, in index order.

        An index of no image sorts before the first beginning or behind the last.
        """
        if index is None:
            return None, None
        by_image, order = torch.sort(index.to(torch.int64), stable=True)
        beginnings = torch.arange(images + 1, device=index.device)
        return torch.searchsorted(by_image, beginnings), order


LAUNCHER = Launcher("cuda_")
