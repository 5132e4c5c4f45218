"""Glimpses of pools against the float64 reference, and what cannot be checked without a wait."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.cases import (
    expected_glimpse,
    normalization_rows,
    random_image,
    random_region,
    unit_of_region_gradient,
)
from support.tolerances import GRADIENT, OUTPUT, assert_close
from torch import Tensor

from mgnet_fast import ImagePool, glimpse, glimpse_from_logits
from mgnet_fast.ops.backends import reference
from mgnet_fast.ops.sampling import RangeMap

SIZES = ((37, 53), (1, 1), (64, 2), (61, 47), (1, 40))
INDEX = torch.tensor([3, 0, 0, 2, 1, 4])
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8)


def _images(dtype: torch.dtype) -> list[Tensor]:
    """Planes one after the other, and channels side by side."""
    images = [random_image((3, *size), dtype, seed) for seed, size in enumerate(SIZES)]
    return [
        image if place % 2 else image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        for place, image in enumerate(images)
    ]


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("columns", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_samples_and_region_gradients(
    backend: str, dtype: torch.dtype, columns: int, align_corners: bool, padding_mode: str
) -> None:
    images = _images(dtype)
    constants: dict[str, Any] = {}
    rows = None
    if dtype == torch.uint8:
        constants = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.25, 1.0)}
        rows = normalization_rows(constants["mean"], constants["std"], 255.0)
    options = {"align_corners": align_corners, "padding_mode": padding_mode}
    region = random_region(len(INDEX), columns)
    ours = region.clone().requires_grad_()
    samples = glimpse(
        ImagePool(images), ours, (9, 20), image_index=INDEX, **options, **constants,
        backend=backend,
    )  # fmt: skip
    assert samples.is_contiguous()
    grad = random_image(tuple(samples.shape), samples.dtype, seed=5)
    samples.backward(grad)
    assert ours.grad is not None
    unit = 4.0 if rows is not None else 1.0  # of a normalised result: 1 / std
    tolerance = OUTPUT[samples.dtype]
    for n, place in enumerate(INDEX.tolist()):
        exact = region[n : n + 1].double().requires_grad_()
        image = images[place][None]
        expected = expected_glimpse(image, exact, (9, 20), normalization=rows, **options)
        assert_close(samples[n : n + 1], expected, tolerance, unit)
        expected.backward(grad[n : n + 1].double())
        assert exact.grad is not None
        size = unit_of_region_gradient(grad[n : n + 1], image) * unit
        coarser = torch.float32 if dtype in (torch.float64, torch.uint8) else dtype
        assert_close(ours.grad[n : n + 1], exact.grad, GRADIENT[coarser], max(size, 1.0))


def test_from_logits(backend: str) -> None:
    images = _images(torch.uint8)
    logits = random_region(len(images), seed=4)
    ours = logits.clone().requires_grad_()
    samples, region = glimpse_from_logits(ImagePool(images), ours, 12, backend=backend)
    samples.sum().backward()
    exact = logits.double().requires_grad_()
    expected_region = reference.region_from_logits(exact, RangeMap(0.2, 0.5, 0.02))
    torch.testing.assert_close(region.double(), expected_region.detach(), rtol=0, atol=1e-7)
    for n, image in enumerate(images):
        expected = expected_glimpse(image[None], region[n : n + 1].detach(), (12, 12))
        assert_close(samples[n : n + 1], expected, OUTPUT[torch.float32])
        expected_glimpse(image[None], expected_region[n : n + 1], (12, 12)).sum().backward(
            retain_graph=True
        )
    assert ours.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=1e-3, atol=1e-3)


@pytest.fixture
def unchecked_backend(backend: str) -> str:
    if backend == "cpu":
        pytest.skip("the C++ kernels check these and raise: see test_pool.py")
    return backend


BROKEN = {
    "before the buffer": (-1, 8, 9, 72, 9, 1),
    "one beyond it": (1, 8, 9, 72, 9, 1),
    "offset far away": (2**62, 8, 9, 72, 9, 1),
    "negative stride": (0, 8, 9, 72, -9, 1),
    "too high": (0, 9, 9, 72, 9, 1),
    "strides that overflow": (0, 8, 9, 2**61, 2**61, 2**61),
    "an empty place": (0, 0, 0, 0, 0, 0),
    "negative height": (0, -8, 9, 72, 9, 1),
    "too many pixels": (0, 2**31, 1, 0, 0, 0),
}


def test_broken_tables_give_nan(unchecked_backend: str) -> None:
    pool = ImagePool([random_image((3, 8, 9), torch.float32)])
    table = torch.tensor([(0, 8, 9, 72, 9, 1), *BROKEN.values()])
    region = torch.tensor([[0.7, 0.1, -0.1]]).repeat(len(table), 1)
    rest = (8, 8, True, "zeros", "float32", False, unchecked_backend)
    samples = torch.ops.mgnet_fast.glimpse(pool.buffer, region, None, None, *rest, table)
    gradient = torch.ops.mgnet_fast.glimpse_backward_region(
        torch.ones_like(samples), pool.buffer, region, None, None, True, "zeros",
        unchecked_backend, table,
    )  # fmt: skip
    broken = torch.arange(len(table)) > 0
    assert torch.equal(samples.isnan().flatten(1).all(dim=1), broken)
    assert torch.equal(gradient.isnan().all(dim=1), broken)
    assert samples[0].isfinite().all()
    assert gradient[0].isfinite().all()


@pytest.mark.parametrize("pooled", [False, True])
def test_indices_out_of_range_give_nan(unchecked_backend: str, pooled: bool) -> None:
    images = random_image((2, 3, 8, 9), torch.float32).requires_grad_(not pooled)
    source = ImagePool(list(images)) if pooled else images
    region = torch.tensor([[0.7, 0.1, -0.1]]).repeat(5, 1).requires_grad_()
    index = torch.tensor([1, -1, 2, 2**40, 0])
    rest = (8, 8, True, "zeros", "float32", False, unchecked_backend)
    buffer, table = (source.buffer, source.table) if pooled else (source, None)
    samples = torch.ops.mgnet_fast.glimpse(buffer, region, index, None, *rest, table)
    samples.sum().backward()
    assert region.grad is not None
    wrong = torch.tensor([False, True, True, True, False])
    assert torch.equal(samples.isnan().flatten(1).all(dim=1), wrong)
    assert torch.equal(region.grad.isnan().all(dim=1), wrong)
    if not pooled:
        assert images.grad is not None
        assert images.grad.isfinite().all()
        assert (images.grad != 0).any(dim=(1, 2, 3)).all()
