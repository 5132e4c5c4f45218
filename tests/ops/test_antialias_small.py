"""Antialiased glimpses of images of a few pixels: every way through every backend's kernels."""

from __future__ import annotations

import pytest
import torch
from support.cases import (
    LAYOUTS,
    expected_glimpse,
    normalization_rows,
    random_image,
    unit_of_region_gradient,
)
from support.tolerances import GRADIENT, OUTPUT, assert_close

from mgnet_fast import ImagePool, glimpse, glimpse_from_logits

pytestmark = pytest.mark.usefixtures("poisoned_memory")

# Whole, inside, mirrored, partly outside, much larger, narrow (which keeps bilinear bits), NaN.
REGIONS = torch.tensor(
    [
        [1.0, 0.013, 0.02], [0.62, 0.3, -0.31], [-0.7, 0.1, 0.21], [0.8, 0.9, -0.7],
        [3.1, 0.2, 0.1], [0.2, 0.4, 0.1], [float("nan"), 0.0, 0.0],
    ]
)  # fmt: skip
INDEX = torch.tensor([0, 1, 1, 0, 1, 1, 0])
MEAN, STD = (0.4, 0.5, 0.3), (0.2, 0.25, 0.3)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_small_glimpses_and_gradients(
    backend: str, dtype: torch.dtype, layout: str, padding_mode: str, align_corners: bool
) -> None:
    image = LAYOUTS[layout](random_image((2, 3, 9, 13), dtype))
    options = {"padding_mode": padding_mode, "align_corners": align_corners, "antialias": True}
    pixels = image.detach().requires_grad_(dtype.is_floating_point)
    region = REGIONS.clone().requires_grad_()
    got = glimpse(
        pixels, region, (3, 4), image_index=INDEX, mean=MEAN, std=STD, **options,
        backend=backend,
    )  # fmt: skip
    unit = 255.0 if dtype == torch.uint8 else 1.0
    exact_pixels = image.double().clone().requires_grad_()
    exact = REGIONS.double().requires_grad_()
    expected = expected_glimpse(
        exact_pixels, exact, (3, 4), image_index=INDEX,
        normalization=normalization_rows(MEAN, STD, unit), **options,
    )  # fmt: skip
    assert_close(got, expected, OUTPUT[got.dtype], unit=5.0)
    grad = random_image(tuple(got.shape), got.dtype, seed=5)
    got.backward(grad)
    expected.backward(grad.double())
    assert region.grad is not None
    assert exact.grad is not None
    unit_of = unit_of_region_gradient(grad, image) * 5
    assert_close(region.grad, exact.grad, GRADIENT[torch.float32], unit_of)
    if dtype.is_floating_point:
        assert pixels.grad is not None
        assert exact_pixels.grad is not None
        assert_close(pixels.grad, exact_pixels.grad, GRADIENT[dtype], unit=20.0)


def test_small_glimpses_from_logits_and_pools(backend: str) -> None:
    images = [random_image((3, 9, 13), torch.uint8), random_image((3, 12, 7), torch.uint8)]
    logits = random_image((2, 3), torch.float32, seed=4).requires_grad_()
    options = {"scale_range": (0.5, 0.9), "gradient_scale": 1.0, "antialias": True}
    got, region = glimpse_from_logits(ImagePool(images), logits, 3, **options, backend=backend)
    got.sum().backward()
    exact = logits.detach().double().requires_grad_()
    for n, image in enumerate(images):
        alone, where = glimpse_from_logits(
            image[None].double() / 255, exact[n : n + 1], 3, **options, backend="reference"
        )
        assert_close(region[n : n + 1], where, OUTPUT[torch.float32])
        assert_close(got[n : n + 1], alone, OUTPUT[torch.float32])
        alone.sum().backward()
    assert logits.grad is not None
    assert exact.grad is not None
    assert_close(logits.grad, exact.grad, GRADIENT[torch.float32], unit=20.0)


def test_narrow_glimpses_keep_their_bits_beside_wide_ones(backend: str) -> None:
    image = random_image((2, 3, 9, 13), torch.float32)
    options = {"image_index": INDEX[:6], "backend": backend}
    soft = glimpse(image, REGIONS[:6], (3, 4), antialias=True, **options)
    plain = glimpse(image, REGIONS[:6], (3, 4), **options)
    same = [torch.equal(a, b) for a, b in zip(soft, plain, strict=True)]
    assert same == [False, False, False, False, False, True]
