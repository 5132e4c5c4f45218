"""Glimpses whose samples stay inside their region: against crops that are cut out and resized."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.cases import (
    DEGENERATE_REGIONS,
    LAYOUTS,
    expected_glimpse,
    normalization_rows,
    random_image,
    random_region,
    unit_of_region_gradient,
)
from support.tolerances import GRADIENT, OUTPUT, Tolerance, assert_close
from torch import Tensor

from mgnet_fast import ImagePool, glimpse, glimpse_from_logits
from mgnet_fast.ops.backends import reference
from mgnet_fast.ops.sampling import RangeMap

pytestmark = pytest.mark.usefixtures("poisoned_memory")

CLAMPED: dict[str, Any] = {"align_corners": False, "clamp_to_region": True}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8)
# top, left, height, width in pixels of an image of 37 x 53: inside, at two edges, beyond two
# corners, larger than the image, one pixel.
BOXES = ((5, 9, 11, 14), (0, 30, 17, 23), (-4, -6, 15, 21), (30, 40, 20, 25), (-3, -5, 50, 70),
         (20, 21, 1, 1))  # fmt: skip


def _regions(boxes: tuple[tuple[int, ...], ...], height: int, width: int) -> Tensor:
    """Regions (s_x, s_y, x, y) of boxes in pixels."""
    return torch.tensor(
        [
            (w / width, h / height, (2 * left + w) / width - 1, (2 * top + h) / height - 1)
            for top, left, h, w in boxes
        ],
        dtype=torch.float64,
    )


def _crop(image: Tensor, box: tuple[int, ...]) -> Tensor:
    """The box cut out of [1, C, H, W], with zeros beyond the image."""
    top, left, height, width = box
    sides = (-left, left + width - image.shape[3], -top, top + height - image.shape[2])
    return F.pad(image, sides)


@pytest.mark.parametrize("size", [(24, 40), (7, 5), (16, 9), (1, 3)], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_a_crop_that_is_resized(
    backend: str, dtype: torch.dtype, layout: str, size: tuple[int, int]
) -> None:
    image = LAYOUTS[layout](random_image((1, 3, 37, 53), dtype))
    region = _regions(BOXES, 37, 53)
    index = torch.zeros(len(BOXES), dtype=torch.int64)
    got = glimpse(image, region, size, image_index=index, backend=backend, **CLAMPED)
    exact = image.double() / (255.0 if dtype == torch.uint8 else 1.0)
    resized = [
        F.interpolate(_crop(exact, box), size, mode="bilinear", align_corners=False)
        for box in BOXES
    ]
    assert_close(got, torch.cat(resized), OUTPUT[got.dtype])


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_samples_and_gradients(
    backend: str, dtype: torch.dtype, layout: str, padding_mode: str
) -> None:
    """Regions at any place, mirrored ones among them, enlarged and reduced, normalised or not."""
    image = LAYOUTS[layout](random_image((4, 3, 37, 53), dtype))
    options = {"padding_mode": padding_mode, **CLAMPED}
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
    rows = normalization_rows(mean, std, 255.0 if dtype == torch.uint8 else 1.0)
    for columns, size, named in ((3, (10, 13), {"mean": mean, "std": std}), (4, (6, 9), {})):
        region = random_region(4, columns) * torch.tensor([0.25, *[1.0] * (columns - 1)])
        ours = region.clone().requires_grad_()
        pixels = image.detach().requires_grad_(dtype.is_floating_point)
        samples = glimpse(pixels, ours, size, backend=backend, **options, **named)
        exact = region.double().requires_grad_()
        exact_pixels = image.double().clone().requires_grad_()
        expected = expected_glimpse(
            exact_pixels * (1 / 255 if dtype == torch.uint8 and not named else 1), exact, size,
            normalization=rows if named else None, **options,
        )  # fmt: skip
        unit = 4.0 if named else 1.0  # of a normalised result: 1 / std
        assert_close(samples, expected, OUTPUT[samples.dtype], unit)
        grad = random_image(tuple(samples.shape), samples.dtype, seed=5)
        samples.backward(grad)
        expected.backward(grad.double())
        assert ours.grad is not None
        assert exact.grad is not None
        unit *= unit_of_region_gradient(grad, image)
        assert_close(ours.grad, exact.grad, GRADIENT[torch.float32], unit)
        if dtype.is_floating_point:
            assert pixels.grad is not None
            assert exact_pixels.grad is not None
            assert_close(pixels.grad, exact_pixels.grad, GRADIENT[dtype], unit=100.0)


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
def test_degenerate_regions(backend: str, padding_mode: str) -> None:
    region = DEGENERATE_REGIONS
    index = torch.zeros(len(region), dtype=torch.int64)
    image = random_image((1, 3, 19, 23), torch.float32)
    options = {"padding_mode": padding_mode, **CLAMPED}
    ours = region.clone().requires_grad_()
    got = glimpse(image, ours, 17, image_index=index, backend=backend, **options)
    assert_close(
        got, expected_glimpse(image, region, (17, 17), index, **options), OUTPUT[got.dtype]
    )
    got.sum().backward()
    finite = torch.isfinite(region).all(dim=1)
    assert ours.grad is not None
    assert torch.equal(got.isnan().flatten(1).all(dim=1), ~finite)
    assert torch.equal(ours.grad.isnan().all(dim=1), ~finite)


def test_less_than_a_pixel_is_sampled_at_its_centre(backend: str) -> None:
    image = random_image((1, 3, 19, 23), torch.float32)
    scales = torch.tensor([0.0, 0.01, -0.03, 0.04])  # half a pixel is 1 / 23
    region = torch.tensor([[0.0, 0.3, 0.123, -0.21]]).repeat(4, 1)
    region[:, 0] = scales
    ours = region.clone().requires_grad_()
    index = torch.zeros(4, dtype=torch.int64)
    got = glimpse(image, ours, (6, 8), image_index=index, backend=backend, **CLAMPED)
    for n in range(4):
        assert torch.equal(got[n], got[0, :, :, :1].expand(3, 6, 8))
    got.square().sum().backward()
    assert ours.grad is not None
    assert (ours.grad[:, 0] == 0).all()
    assert (ours.grad[:, 2] != 0).all()


def test_changes_nothing_where_samples_never_leave_the_region(backend: str) -> None:
    image = random_image((4, 3, 19, 23), torch.float32)
    region = random_region(4)
    grad = random_image((4, 3, 9, 11), torch.float32, seed=3)

    def sampled(**options: Any) -> tuple[Tensor, ...]:
        inputs = image.clone().requires_grad_(), region.clone().requires_grad_()
        samples = glimpse(*inputs, (9, 11), backend=backend, **options)
        return samples.detach(), *torch.autograd.grad(samples, inputs, grad)

    for free, clamped in zip(sampled(), sampled(clamp_to_region=True), strict=True):
        assert torch.equal(free, clamped)
    assert not torch.equal(sampled(align_corners=False)[0], sampled(**CLAMPED)[0])


def test_pools_and_logits(backend: str) -> None:
    images = [random_image((3, 37, 53), torch.uint8), random_image((3, 40, 12), torch.uint8)]
    logits = random_image((2, 3), torch.float32, seed=4).requires_grad_()
    options = {"scale_range": (0.1, 0.4), "gradient_scale": 1.0, **CLAMPED}
    got, region = glimpse_from_logits(ImagePool(images), logits, 30, **options, backend=backend)
    pooled = glimpse(ImagePool(images), region.detach(), 30, **CLAMPED, backend=backend)
    assert torch.equal(got, pooled)
    got.sum().backward()
    for n, image in enumerate(images):
        alone = glimpse(image[None], region.detach()[n : n + 1], 30, **CLAMPED, backend=backend)
        assert torch.equal(got[n : n + 1], alone)
        exact = logits.detach()[n : n + 1].double().requires_grad_()
        where = reference.region_from_logits(exact, RangeMap(0.1, 0.4, 1.0))
        expected = expected_glimpse(image[None], where, (30, 30), **CLAMPED)
        assert_close(region[n : n + 1], where, Tolerance(1e-7, 0.0))
        expected.sum().backward()
        assert exact.grad is not None
        assert logits.grad is not None
        assert_close(logits.grad[n : n + 1], exact.grad, Tolerance(1e-4, 0.0), unit=10.0)


def test_gradcheck(backend: str) -> None:
    """Enlarged, so that most samples are at an edge; one region is mirrored."""
    image = random_image((2, 2, 9, 11), torch.float64).requires_grad_()
    region = torch.tensor([[0.31, 0.13, -0.22], [-0.27, -0.31, 0.17]], dtype=torch.float64)
    region.requires_grad_()

    def sampled(image: Tensor, region: Tensor) -> Tensor:
        return glimpse(image, region, (7, 9), backend=backend, **CLAMPED)

    assert torch.autograd.gradcheck(sampled, (image, region))


def test_both_ways_and_the_compiler_give_the_same(backend: str) -> None:
    image, region = random_image((2, 3, 20, 21), torch.float32), random_region(2)

    def sampled(image: Tensor, region: Tensor) -> Tensor:
        return glimpse(image, region, 16, backend=backend, **CLAMPED)

    direct = sampled(image, region)
    registered = torch.ops.mgnet_fast.glimpse(
        image, region, None, None, 16, 16, False, "zeros", "float32", False, backend, None, False,
        True,
    )  # fmt: skip
    torch._dynamo.reset()
    compiled = torch.compile(sampled, fullgraph=True, backend="aot_eager")
    assert torch.equal(direct, registered)
    assert torch.equal(direct, compiled(image, region))


def test_averages_are_refused() -> None:
    image, region = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3)
    message = r"clamp_to_region must be False with antialias=True, .*, got True"
    for sampled in (glimpse, glimpse_from_logits):
        with pytest.raises(ValueError, match=message):
            sampled(image, region, 4, antialias=True, **CLAMPED)
    arguments = (image, region, None, None, 4, 4, False, "zeros", "float32", False, "cpu", None)
    with pytest.raises(ValueError, match=message):
        torch.ops.mgnet_fast.glimpse(*arguments, True, True)
