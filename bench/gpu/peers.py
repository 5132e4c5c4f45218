"""The usual alternatives to the glimpse on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..peers import corner_boxes, eager_from_region

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Peer = Callable[[Tensor, Tensor, int], Tensor]  # image, region [N, 3], size


def eager(image: Tensor, region: Tensor, size: int) -> Tensor:
    """grid_sample needs image and grid of one dtype, so bytes are normalised first."""
    if image.dtype == torch.uint8:
        shape = (1, -1, 1, 1)
        mean = torch.tensor(MEAN, device=image.device)[: image.shape[1]].view(shape)
        std = torch.tensor(STD, device=image.device)[: image.shape[1]].view(shape)
        image = (image.float() / 255 - mean) / std
    if image.dtype == torch.float32:
        return eager_from_region(image, region, size)
    shape = (region.shape[0], image.shape[1], size, size)
    zero = torch.zeros_like(region[:, 0])
    scale, x, y = region.unbind(1)
    theta = torch.stack([scale, zero, x, zero, scale, y], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(shape), align_corners=True).to(image.dtype)
    return F.grid_sample(image, grid, align_corners=True)


def compiled() -> Peer:
    torch._dynamo.reset()
    function: Peer = torch.compile(eager, dynamic=False)
    return function


def roi_align() -> Peer:
    """One sample per bin, at its centre: other positions than a glimpse's, but equal work."""
    from torchvision.ops import roi_align as operator

    def call(image: Tensor, region: Tensor, size: int) -> Tensor:
        corners = corner_boxes(region, image.shape[3], image.shape[2])
        index = torch.arange(region.shape[0], device=region.device, dtype=region.dtype)
        boxes = torch.cat([index[:, None], corners[:, 0], corners[:, 2]], dim=1).to(image.dtype)
        return operator(image, boxes, size, 1.0, sampling_ratio=1, aligned=True)

    return call


def kornia() -> Peer:
    from kornia.geometry.transform import crop_by_boxes

    def call(image: Tensor, region: Tensor, size: int) -> Tensor:
        last = size - 1.0
        target = torch.tensor(
            [[[0.0, 0.0], [last, 0.0], [last, last], [0.0, last]]], device=image.device
        ).expand(region.shape[0], 4, 2)
        boxes = corner_boxes(region, image.shape[3], image.shape[2])
        return crop_by_boxes(image, boxes, target, align_corners=True)

    return call


def available(dtype: torch.dtype, backward: bool) -> dict[str, Callable[[], Peer]]:
    """The peers of a case by name, as functions that may raise ImportError."""
    peers: dict[str, Callable[[], Peer]] = {"eager": lambda: eager, "torch.compile": compiled}
    if dtype == torch.float32 and not backward:
        peers |= {"torchvision roi_align": roi_align, "kornia": kornia}
    return peers
