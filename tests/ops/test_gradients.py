"""Gradients of every native backend: to the region, to the logits, to the image."""

from __future__ import annotations

import pytest
import torch
from support.cases import (
    DEGENERATE_REGIONS,
    LAYOUTS,
    expected_glimpse,
    normalization_rows,
    random_image,
    random_region,
    unit_of_region_gradient,
)
from support.tolerances import GRADIENT, assert_close
from torch import Tensor

from mgnet_fast import glimpse, glimpse_from_logits
from mgnet_fast.ops.backends import reference
from mgnet_fast.ops.sampling import RangeMap

pytestmark = pytest.mark.usefixtures("poisoned_memory")

FLOAT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*FLOAT_DTYPES, torch.uint8], ids=str)
def test_region_gradient(
    backend: str, dtype: torch.dtype, layout: str, padding_mode: str, align_corners: bool
) -> None:
    image = LAYOUTS[layout](random_image((4, 3, 37, 53), dtype))
    for columns, size in ((3, (28, 28)), (4, (9, 33))):
        region = random_region(4, columns)
        options = {"padding_mode": padding_mode, "align_corners": align_corners}
        ours = region.clone().requires_grad_()
        samples = glimpse(image, ours, size, **options, backend=backend)
        grad = random_image(tuple(samples.shape), samples.dtype, seed=5)
        samples.backward(grad)
        exact = region.double().requires_grad_()
        expected_glimpse(image, exact, size, **options).backward(grad.double())
        assert ours.grad is not None
        assert exact.grad is not None
        unit = unit_of_region_gradient(grad, image) * (1.0 if dtype != torch.uint8 else 0.5)
        assert_close(ours.grad, exact.grad, GRADIENT[torch.float32], unit)


@pytest.mark.parametrize("stride", [0.3, 1.1, 2.0, 3.9, 4.2, 8.5, 20.0])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_region_gradient_at_every_sampling_stride(backend: str, layout: str, stride: float) -> None:
    width = 700
    image = LAYOUTS[layout](random_image((1, 3, 64, width), torch.float32))
    for size in (15, 16, 33, 35):
        scale = min(stride * (size - 1) / (width - 1), 0.99)
        for centre in (0.0131, 0.999 - scale, scale - 0.999, 1.0):
            region = torch.tensor([[scale, 0.7, centre, 0.1]])
            ours = region.clone().requires_grad_()
            samples = glimpse(image, ours, (5, size), backend=backend)
            grad = random_image(tuple(samples.shape), torch.float32, seed=6)
            samples.backward(grad)
            exact = region.double().requires_grad_()
            expected_glimpse(image, exact, (5, size)).backward(grad.double())
            assert ours.grad is not None
            assert exact.grad is not None
            unit = unit_of_region_gradient(grad, image)
            assert_close(ours.grad, exact.grad, GRADIENT[torch.float32], unit)


@pytest.mark.parametrize("size", [(5, 7), (30, 41)], ids=str)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES, ids=str)
def test_image_gradient(
    backend: str,
    size: tuple[int, int],
    dtype: torch.dtype,
    layout: str,
    padding_mode: str,
    align_corners: bool,
) -> None:
    """Several glimpses of the first image, one of the third, none of the second."""
    image = LAYOUTS[layout](random_image((3, 3, 21, 34), dtype))
    index = torch.tensor([0, 2, 0, 0, 2, 0])
    rows = normalization_rows((0.1, 0.2, 0.3), (0.5, 0.25, 1.0), 1.0)
    options = {"padding_mode": padding_mode, "align_corners": align_corners}
    region = random_region(6)
    ours = image.detach().requires_grad_()
    samples = glimpse(
        ours, region, size, image_index=index, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0),
        **options, backend=backend,
    )  # fmt: skip
    grad = random_image(tuple(samples.shape), dtype, seed=5)
    samples.backward(grad)
    exact = image.detach().double().requires_grad_()
    expected_glimpse(exact, region, size, index, rows, **options).backward(grad.double())
    assert ours.grad is not None
    assert exact.grad is not None
    assert ours.grad.dtype == dtype
    assert (ours.grad[1] == 0).all()
    assert_close(ours.grad, exact.grad, GRADIENT[dtype], unit=100.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("gradient_scale", [1.0, 0.02])
def test_logits_gradient(backend: str, dtype: torch.dtype, gradient_scale: float) -> None:
    """Through the glimpse, through the returned region, and through both."""
    image = random_image((5, 3, 40, 50), torch.float32)
    logits = random_image((5, 3), dtype, seed=3) * 2
    weights = random_image((5, 3), torch.float32, seed=4) * 100
    for use_glimpse, use_region in ((True, False), (False, True), (True, True)):
        ours = logits.clone().requires_grad_()
        samples, region = glimpse_from_logits(
            image, ours, (14, 18), gradient_scale=gradient_scale, backend=backend
        )
        grad = random_image(tuple(samples.shape), torch.float32, seed=6)
        ((samples * grad).sum() * use_glimpse + (region * weights).sum() * use_region).backward()

        exact = logits.double().clone().requires_grad_()
        # sampled at the rounded region, as the kernel does: only the slope is under test
        exact_region = reference.region_from_logits(exact, RangeMap(0.2, 0.5, gradient_scale))
        rounded = exact_region + (region.detach().double() - exact_region.detach())
        expected = expected_glimpse(image, rounded, (14, 18))
        loss = (expected * grad.double()).sum() * use_glimpse
        (loss + (rounded * weights.double()).sum() * use_region).backward()
        assert ours.grad is not None
        assert exact.grad is not None
        unit = (unit_of_region_gradient(grad, image) + 400.0) * gradient_scale
        coarser = torch.float32 if dtype == torch.float64 else dtype  # of image and logits
        assert_close(ours.grad, exact.grad, GRADIENT[coarser], unit)


def test_gradient_of_regions_that_are_not_finite(backend: str) -> None:
    region = DEGENERATE_REGIONS.clone()
    region[0] = torch.tensor([0.9, 0.013, -0.017])  # away from the kinks of the identity
    index = torch.arange(region.shape[0])
    image = random_image((region.shape[0], 2, 19, 23), torch.float32).requires_grad_()
    ours = region.clone().requires_grad_()
    samples = glimpse(image, ours, 17, image_index=index, backend=backend)
    samples.backward(torch.ones_like(samples))
    finite = torch.isfinite(region).all(dim=1)
    assert ours.grad is not None
    assert image.grad is not None
    assert torch.equal(ours.grad.isnan().all(dim=1), ~finite)
    assert ours.grad[finite].isfinite().all()
    assert (image.grad[~finite] == 0).all()
    exact = image.detach().double().requires_grad_()
    expected_glimpse(exact, region, (17, 17), index).nan_to_num(0.0).sum().backward()
    assert exact.grad is not None
    assert_close(image.grad, exact.grad, GRADIENT[torch.float32], unit=300.0)


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
def test_side_of_the_derivative_at_the_kinks(backend: str, padding_mode: str) -> None:
    """The corners of (1, 0, 0) meet the corner pixels exactly: same side as grid_sample."""
    image = random_image((1, 2, 31, 16), torch.float32)
    ours = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    samples = glimpse(image, ours, (8, 8), padding_mode=padding_mode, backend=backend)
    grad = random_image(tuple(samples.shape), torch.float32, seed=8)
    samples.backward(grad)
    exact = ours.detach().double().requires_grad_()
    expected = expected_glimpse(image, exact, (8, 8), padding_mode=padding_mode)
    expected.backward(grad.double())
    assert ours.grad is not None
    assert exact.grad is not None
    unit = unit_of_region_gradient(grad, image)
    assert_close(ours.grad, exact.grad, GRADIENT[torch.float32], unit)


def test_gradcheck(backend: str) -> None:
    image = random_image((2, 2, 9, 11), torch.float64).requires_grad_()
    region = torch.tensor([[0.41, 0.13, -0.22], [0.73, -0.31, 0.17]], dtype=torch.float64)
    region.requires_grad_()
    index = torch.tensor([1, 0])

    def sampled(image: Tensor, region: Tensor) -> Tensor:
        return glimpse(image, region, (4, 5), image_index=index, backend=backend)

    def from_logits(image: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        return glimpse_from_logits(image, logits, (4, 5), gradient_scale=1.0, backend=backend)

    torch.use_deterministic_algorithms(False)  # gradcheck relies on reading fresh memory as it is
    assert torch.autograd.gradcheck(sampled, (image, region))
    assert torch.autograd.gradcheck(from_logits, (image, region))


def test_incoming_gradient_of_any_layout(backend: str) -> None:
    image = random_image((3, 3, 30, 33), torch.float32).requires_grad_()
    region = random_region(3).requires_grad_()
    grad = random_image((3, 3, 20, 20), torch.float32, seed=2)
    results = []
    for layout in ("contiguous", "channels_last", "sliced", "sliced_channels_last", "transposed"):
        image.grad = region.grad = None
        glimpse(image, region, 20, backend=backend).backward(LAYOUTS[layout](grad))
        assert image.grad is not None
        assert region.grad is not None
        results.append((image.grad, region.grad))
    image.grad = region.grad = None
    for image_gradient, region_gradient in results[1:]:
        torch.testing.assert_close(image_gradient, results[0][0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(region_gradient, results[0][1], rtol=1e-5, atol=1e-4)
    glimpse(image, region, 20, backend=backend).sum().backward()  # strides of 0
    assert image.grad is not None


def test_only_the_wanted_gradient_is_computed(backend: str) -> None:
    image = random_image((2, 3, 16, 16), torch.float32).requires_grad_()
    region = random_region(2)
    glimpse(image, region, 8, backend=backend).sum().backward()
    assert image.grad is not None
    assert region.grad is None
    uint8 = random_image((2, 3, 16, 16), torch.uint8)
    region.requires_grad_()
    glimpse(uint8, region, 8, backend=backend).sum().backward()
    assert region.grad is not None


def test_second_derivative_is_refused_in_words(backend: str) -> None:
    image = random_image((1, 1, 16, 16), torch.float32)
    region = random_region(1).requires_grad_()
    for samples in (
        glimpse(image, region, 8, backend=backend),
        glimpse_from_logits(image, region, 8, backend=backend)[0],
    ):
        (first,) = torch.autograd.grad(samples.square().sum(), region, create_graph=True)
        with pytest.raises(RuntimeError, match="cannot be differentiated again"):
            first.sum().backward()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_bit_identical_for_any_number_of_threads(
    backend: str, layout: str, restored_threads: None
) -> None:
    image = LAYOUTS[layout](random_image((5, 3, 200, 190), torch.float32)).requires_grad_()
    index = torch.arange(64) % 5
    region = random_region(64).requires_grad_()
    logits = random_region(64, seed=9).requires_grad_()
    runs = []
    for threads in (1, 2, 3, 8, 1):
        torch.set_num_threads(threads)
        image.grad = region.grad = logits.grad = None
        samples = glimpse(image, region, 64, image_index=index, backend=backend)
        samples.square().sum().backward()
        located, _ = glimpse_from_logits(image, logits, 64, image_index=index, backend=backend)
        located.square().sum().backward()
        runs.append((samples.detach(), image.grad, region.grad, located.detach(), logits.grad))
    for run in runs[1:]:
        for tensor, first in zip(run, runs[0], strict=True):
            assert tensor is not None
            assert torch.equal(tensor, first)
