"""The glimpse in plain differentiable PyTorch: the oracle every other backend is judged by.

In float64 this is the definition of the op. In float32 it is what a user would write by hand
(``affine_grid`` + ``grid_sample``) and as inexact as that: 6e-5 on a 224-pixel image.
Autograd differentiates it, torch.compile and torch.export trace through it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rescale_gradient import rescale_gradient
from ..sampling import RESULT_DTYPES, Options, RangeMap, Sampling
from ..tracing import is_plain_eager
from . import reference_antialias

NOT_TRACED = (
    'the reference backend reads a pool on the host and cannot be traced; use backend "cpu"'
)


def sampling_dtype(image: Tensor) -> torch.dtype:
    """The type the samples are computed in: float64 for float64 images, else float32."""
    return torch.float64 if image.dtype == torch.float64 else torch.float32


def region_from_logits(logits: Tensor, range_map: RangeMap) -> Tensor:
    """Region (s, x, y) [N, 3] of localization logits [N, 3] (paper eq. 4 and 5).

    ``p = sigmoid(logits)`` with its gradient multiplied by ``gradient_scale``,
    ``s = p0 * (s_max - s_min) + s_min`` and ``(x, y) = (2 * (p1, p2) - 1) * (1 - s)``.
    """
    low, high, gradient_scale = range_map
    probability = rescale_gradient(torch.sigmoid(logits), gradient_scale)
    scale = probability[:, :1] * (high - low) + low
    return torch.cat([scale, (2 * probability[:, 1:] - 1) * (1 - scale)], dim=1)


def glimpse(sampling: Sampling, region: Tensor) -> Tensor:
    """Bilinear samples on the affine grid of each region [N, C, height, width]; those of a pool
    image after image."""
    if sampling.pool is not None:
        return _glimpse_of_pool(sampling, sampling.pool, region)
    image, image_index, normalization, _, options, _ = sampling
    height, width = options.height, options.width
    out_dtype = RESULT_DTYPES[options.out_dtype]
    dtype = sampling_dtype(image)
    finite = torch.isfinite(region).all(dim=1, keepdim=True)
    source = image
    if image_index is not None:
        inside = (image_index >= 0) & (image_index < image.shape[0])
        _check_index(image_index, inside, image.shape[0])
        source = image[torch.where(inside, image_index, torch.zeros_like(image_index))]
        finite = finite & inside[:, None]
    source = source.to(dtype)
    if normalization is not None:
        scale, bias = normalization.to(dtype)[:, None, :, None, None]
        source = source * scale + bias

    size = [region.shape[0], image.shape[1], height, width]
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    if region.shape[0] == 0 or image.shape[1] == 0:  # affine_grid refuses empty batches
        empty = source[:, :, :1, :1].expand(size) + region.sum(dim=1)[:, None, None, None]
        return empty.to(out_dtype).contiguous(memory_format=layout)

    usable = torch.where(finite, region, torch.zeros_like(region)).to(dtype)
    scale_x, scale_y = usable[:, 0], usable[:, -3]
    zero = torch.zeros_like(scale_x)
    theta = torch.stack(
        [
            torch.stack([scale_x, zero, usable[:, -2]], dim=1),
            torch.stack([zero, scale_y, usable[:, -1]], dim=1),
        ],
        dim=1,
    )
    if options.clamp_to_region and not options.align_corners:
        grid = _clamped_grid(usable, source.shape, options)
    else:
        grid = F.affine_grid(theta, size, align_corners=options.align_corners)
    samples = F.grid_sample(source, grid, "bilinear", options.padding_mode, options.align_corners)
    if options.antialias:
        wide = reference_antialias.is_wide(usable, source.shape, options)
        averages = reference_antialias.filtered(source, usable, options)
        samples = torch.where(wide[:, None, None, None], averages, samples)
    samples = torch.where(finite[:, :, None, None], samples, torch.zeros_like(samples))
    samples = samples + _poison(region, finite).to(dtype)[:, None, None, None]
    return samples.to(out_dtype).contiguous(memory_format=layout)


def _clamped_grid(region: Tensor, shape: torch.Size, options: Options) -> Tensor:
    """Where samples fall that stay half a pixel inside their region's edges [N, h, w, 2]."""
    columns = _clamped_positions(region[:, 0], region[:, -2], shape[3], options.width)
    rows = _clamped_positions(region[:, -3], region[:, -1], shape[2], options.height)
    across = columns[:, None, :].expand(-1, options.height, -1)
    down = rows[:, :, None].expand(-1, -1, options.width)
    return torch.stack([across, down], dim=3).to(region.dtype)


def _clamped_positions(scale: Tensor, shift: Tensor, size: int, count: int) -> Tensor:
    """Positions along an axis of ``size`` pixels, the image from -1 to 1 [N, count], float64."""
    number = torch.arange(count, dtype=torch.float64, device=scale.device)
    offset = scale.double()[:, None] * ((2 * number + 1) / count - 1)
    reach = scale.double().abs()[:, None] - 1 / size
    nearest = torch.where(offset < -reach, -reach, offset)
    nearest = torch.where(offset > reach, reach, nearest)
    # a region of less than a pixel: its centre
    return torch.where(reach > 0, nearest, 0.0) + shift.double()[:, None]


def _glimpse_of_pool(sampling: Sampling, table: Tensor, region: Tensor) -> Tensor:
    buffer = sampling.image
    if region.shape[0] == 0 or table.device.type == "meta":  # no pixel is read
        image = buffer.expand(region.shape[0], -1, -1, -1)
        return glimpse(sampling._replace(image=image, image_index=None, pool=None), region)
    if torch.compiler.is_compiling():
        raise NotImplementedError(NOT_TRACED)
    entries, index = table.tolist(), sampling.image_index
    images = range(len(entries)) if index is None else index.tolist()
    return torch.cat(
        [
            glimpse(
                sampling._replace(
                    image=_image_of_pool(buffer, entries, image, n),
                    image_index=None,
                    pool=None,
                ),
                region[n : n + 1],
            )
            for n, image in enumerate(images)
        ]
    )


def _image_of_pool(buffer: Tensor, entries: list[list[int]], image: int, n: int) -> Tensor:
    if not 0 <= image < len(entries):
        raise ValueError(f"image_index must be in [0, {len(entries)}), got {image} at position {n}")
    offset, height, width, *strides = entries[image]
    if height == 0:
        raise ValueError(
            f"image_index must name images that the pool holds, got {image} at position {n}, "
            "an empty place"
        )
    return buffer.as_strided((1, buffer.shape[1], height, width), (0, *strides), offset)


def _check_index(image_index: Tensor, inside: Tensor, count: int) -> None:
    """Raises for an index out of range where looking is free; elsewhere the glimpse is NaN."""
    if image_index.device.type == "cpu" and is_plain_eager(image_index) and not inside.all():
        position = int((~inside).nonzero()[0])
        raise ValueError(
            f"image_index must be in [0, {count}), got {int(image_index[position])} "
            f"at position {position}"
        )


def _poison(region: Tensor, usable: Tensor) -> Tensor:
    """Zero for each usable region, else NaN, and a NaN gradient to that region alone [N].

    Both factors are masked: a mask on the product alone would turn the zero gradient of the
    usable rows into 0 * NaN.
    """
    nan = torch.full_like(region, float("nan"))
    zero = torch.zeros_like(region)
    return (torch.where(usable, zero, region) * torch.where(usable, zero, nan)).sum(dim=1)
