"""What a user would take instead of the glimpse op, each with the reason why it may be absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def theta_of(region: Tensor) -> Tensor:
    """[N, 2, 3] affine matrices of regions (s, x, y), as one writes them by hand."""
    scale, x, y = region.unbind(1)
    zero = torch.zeros_like(scale)
    return torch.stack([scale, zero, x, zero, scale, y], dim=1).view(-1, 2, 3)


def eager(image: Tensor, theta: Tensor, size: int) -> Tensor:
    """``affine_grid`` + ``grid_sample``, given the matrices."""
    shape = [theta.shape[0], image.shape[1], size, size]
    grid = F.affine_grid(theta, shape, align_corners=True)
    return F.grid_sample(image, grid, align_corners=True)


def eager_from_region(image: Tensor, region: Tensor, size: int) -> Tensor:
    return eager(image, theta_of(region), size)


def eager_from_bytes(
    image: Tensor, theta: Tensor, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """The usual pipeline from camera bytes [B, H, W, C]: float, normalise, permute, sample."""
    pixels = image.float().div(255)
    pixels = (pixels - torch.tensor(mean)) / torch.tensor(std)
    return eager(pixels.permute(0, 3, 1, 2).contiguous(), theta, size)


def forward_call(
    name: str, image: Tensor, region: Tensor, size: int, threads: int
) -> Callable[[], Any]:
    """One peer's forward pass as a call without arguments, its inputs in the form it likes best.

    Raises:
        ImportError: the library is not installed.
    """
    theta = theta_of(region)
    if name == "eager":
        return lambda: eager(image, theta, size)
    if name == "torch.compile":
        torch._dynamo.reset()
        function = torch.compile(eager, dynamic=False)
        return lambda: function(image, theta, size)
    if name == "kornia":
        return _kornia(image, region, size)
    if name == "OpenCV":
        return _opencv(image, region, size, threads)
    raise ValueError(f"no such peer: {name!r}")


def _kornia(image: Tensor, region: Tensor, size: int) -> Callable[[], Tensor]:
    from kornia.geometry.transform import crop_by_boxes

    boxes = corner_boxes(region, image.shape[3], image.shape[2])
    last = size - 1.0
    target = torch.tensor([[[0.0, 0.0], [last, 0.0], [last, last], [0.0, last]]])
    target = target.expand(region.shape[0], 4, 2)
    return lambda: crop_by_boxes(image, boxes, target, align_corners=True)


def corner_boxes(region: Tensor, width: int, height: int) -> Tensor:
    """[N, 4, 2] corners in pixels, clockwise from the top left."""
    scale, x, y = region.unbind(1)
    left, right = (x - scale + 1) / 2 * (width - 1), (x + scale + 1) / 2 * (width - 1)
    top, bottom = (y - scale + 1) / 2 * (height - 1), (y + scale + 1) / 2 * (height - 1)
    rows = [left, top, right, top, right, bottom, left, bottom]
    return torch.stack(rows, dim=1).view(-1, 4, 2)


def _opencv(image: Tensor, region: Tensor, size: int, threads: int) -> Callable[[], list[Any]]:
    """``warpAffine`` for each image, [H, W, C] float32, the layout OpenCV works in."""
    import cv2
    import numpy as np

    cv2.setNumThreads(threads)
    images = [np.ascontiguousarray(each.permute(1, 2, 0).numpy()) for each in image]
    height, width = image.shape[2:]
    matrices = []
    for scale, x, y in region.tolist():
        left, top = (x - scale + 1) / 2 * (width - 1), (y - scale + 1) / 2 * (height - 1)
        step_x, step_y = scale * (width - 1) / (size - 1), scale * (height - 1) / (size - 1)
        matrices.append(np.array([[step_x, 0, left], [0, step_y, top]]))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return lambda: [
        cv2.warpAffine(each, matrix, (size, size), flags=flags)
        for each, matrix in zip(images, matrices, strict=True)
    ]
