"""Images in every layout and dtype, regions of every kind, and the float64 answer to them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mgnet_fast.ops.backends import reference
from mgnet_fast.ops.sampling import Options, Sampling


def _sliced(image: Tensor) -> Tensor:
    batch, channels, height, width = image.shape
    larger = torch.zeros(batch, channels + 1, height + 3, width + 5, dtype=image.dtype)
    larger[:, 1:, 2:-1, 3:-2] = image
    return larger[:, 1:, 2:-1, 3:-2]


def _sliced_channels_last(image: Tensor) -> Tensor:
    batch, channels, height, width = image.shape
    larger = torch.zeros(batch, height + 2, width + 3, channels, dtype=image.dtype)
    larger[:, 1:-1, 1:-2] = image.permute(0, 2, 3, 1)
    return larger[:, 1:-1, 1:-2].permute(0, 3, 1, 2)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda image: image.contiguous(),
    "channels_last": lambda image: image.contiguous(memory_format=torch.channels_last),
    "sliced": _sliced,
    "sliced_channels_last": _sliced_channels_last,
    "transposed": lambda image: image.transpose(2, 3).contiguous().transpose(2, 3),
    "expanded_channels": lambda image: image[:, :1].expand(image.shape),
    "expanded_batch": lambda image: image[:1].expand(image.shape),
}


def random_image(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def random_region(
    count: int, columns: int = 3, dtype: torch.dtype = torch.float32, seed: int = 1
) -> Tensor:
    """Inside, partly outside and mirrored regions; columns 4 has unequal scales."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(count, columns - 2, generator=generator, dtype=torch.float64) * 1.3 + 0.1
    scale[3::4] *= -1
    centre = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 2 - 1
    return torch.cat([scale, centre], dim=1).to(dtype)


DEGENERATE_REGIONS = torch.tensor(
    [
        [1.0, 0.0, 0.0],  # the whole image
        [0.0, 0.25, -0.5],  # a point
        [-0.4, 0.1, 0.2],  # mirrored
        [0.3, 5.0, 0.0],  # outside
        [3.0, 0.0, 0.0],  # much larger than the image
        [1e-30, 0.1, 0.1],
        [1e30, 0.0, 0.0],
        [0.5, -1e38, 1e38],
        [float("nan"), 0.0, 0.0],
        [0.5, float("nan"), 0.0],
        [0.5, 0.0, float("nan")],
        [float("inf"), 0.0, 0.0],
        [0.5, float("-inf"), 0.0],
    ]
)


def expected_glimpse(
    image: Tensor,
    region: Tensor,
    size: tuple[int, int],
    image_index: Tensor | None = None,
    normalization: Tensor | None = None,
    align_corners: bool = True,
    padding_mode: str = "zeros",
    antialias: bool = False,
    clamp_to_region: bool = False,
) -> Tensor:
    """The glimpse in float64; uint8 images are divided by 255."""
    if normalization is None and image.dtype == torch.uint8:
        normalization = torch.tensor([[1 / 255.0], [0.0]], dtype=torch.float64)
        normalization = normalization.repeat(1, image.shape[1])
    options = Options(
        *size, align_corners, padding_mode, "float64", False, "reference", antialias,
        clamp_to_region,
    )  # fmt: skip
    sampling = Sampling(image.double(), image_index, normalization, None, options)
    return reference.glimpse(sampling, region.double())


def normalization_rows(mean: tuple[float, ...], std: tuple[float, ...], unit: float) -> Tensor:
    centre = torch.tensor(mean, dtype=torch.float64)
    spread = torch.tensor(std, dtype=torch.float64)
    return torch.stack([1 / (spread * unit), -centre / spread])


def unit_of_region_gradient(grad: Tensor, image: Tensor) -> float:
    """Root of the summed squares of the terms: incoming gradient, slope of about 2, half side."""
    side = max(image.shape[2:])
    return float(grad.double().square().flatten(1).sum(1).sqrt().max()) * 2 * side / 2
