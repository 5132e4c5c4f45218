"""Kernels on the device against the float64 reference on the host."""

from __future__ import annotations

from typing import Any

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
from support.tolerances import OUTPUT, Tolerance, assert_close
from torch import Tensor

from mgnet_fast import glimpse, glimpse_from_logits

pytestmark = pytest.mark.usefixtures("poisoned_memory")

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8)


def on(device: str, tensor: Tensor) -> Tensor:
    """The tensor on the device, with its strides."""
    base = torch.empty(0, dtype=tensor.dtype, device=device)
    storage = torch.as_strided(tensor, (tensor.untyped_storage().size() // tensor.element_size(),),
                               (1,), 0)  # fmt: skip
    return base.set_(storage.to(device).untyped_storage(), tensor.storage_offset(),
                     tensor.shape, tensor.stride())  # fmt: skip


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memcheck_layouts_and_dtypes(
    device: str, kernel: str, dtype: torch.dtype, layout: str, padding_mode: str,
    align_corners: bool,
) -> None:  # fmt: skip
    image = LAYOUTS[layout](random_image((4, 3, 37, 53), dtype))
    sampling = {"padding_mode": padding_mode, "align_corners": align_corners}
    for columns, size in ((3, (28, 28)), (4, (9, 33))):
        region = random_region(4, columns)
        got = glimpse(on(device, image), region.to(device), size, backend=kernel, **sampling)
        expected = expected_glimpse(image, region, size, **sampling)
        assert_close(got.cpu(), expected, OUTPUT[got.dtype])


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memcheck_antialiased(
    device: str, kernel: str, dtype: torch.dtype, layout: str, padding_mode: str
) -> None:
    options = {"padding_mode": padding_mode, "antialias": True}
    _compare(device, kernel, LAYOUTS[layout](random_image((4, 3, 61, 83), dtype)), 1.0, options)


def _compare(
    device: str, kernel: str, image: Tensor, extent: float, options: dict[str, Any]
) -> None:
    """Samples and both gradients; ``extent`` multiplies the scales of the regions."""
    dtype = image.dtype
    for columns, size in ((3, (9, 13)), (4, (3, 40))):
        pixels = on(device, image).detach().requires_grad_(dtype.is_floating_point)
        exact_pixels = image.double() / (255.0 if dtype == torch.uint8 else 1.0)
        exact_pixels.requires_grad_()
        region = random_region(4, columns)
        region[:, : columns - 2] *= extent
        ours = region.to(device).clone().requires_grad_()
        got = glimpse(pixels, ours, size, backend=kernel, **options)
        exact = region.double().requires_grad_()
        expected = expected_glimpse(exact_pixels, exact, size, **options)
        assert_close(got.cpu(), expected, OUTPUT[got.dtype])
        grad = random_image(tuple(got.shape), got.dtype, seed=5)
        got.backward(grad.to(device))
        expected.backward(grad.double())
        assert ours.grad is not None
        assert exact.grad is not None
        unit = unit_of_region_gradient(grad, image)
        assert_close(ours.grad.cpu(), exact.grad, OUTPUT[torch.float32], unit)
        if dtype.is_floating_point:
            assert pixels.grad is not None
            assert exact_pixels.grad is not None
            assert_close(pixels.grad.cpu(), exact_pixels.grad, OUTPUT[dtype], unit=8.0)


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memcheck_clamped_to_the_region(
    device: str, kernel: str, dtype: torch.dtype, layout: str, padding_mode: str
) -> None:
    options = {"padding_mode": padding_mode, "align_corners": False, "clamp_to_region": True}
    _compare(device, kernel, LAYOUTS[layout](random_image((4, 3, 37, 53), dtype)), 0.4, options)


@pytest.mark.parametrize("side", [224, 1000, 4000])
@pytest.mark.parametrize("scale", [1.0, 0.35, 0.02])
def test_large_images(device: str, kernel: str, side: int, scale: float) -> None:
    image = random_image((1, 2, side, side + 5), torch.float32)
    region = torch.tensor([[scale, 0.0127, -0.0341]])
    got = glimpse(image.to(device), region.to(device), 96, backend=kernel)
    assert_close(got.cpu(), expected_glimpse(image, region, (96, 96)), OUTPUT[torch.float32])


@pytest.mark.parametrize("channels", [1, 3, 4, 16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
def test_bytes_are_normalised(
    device: str, kernel: str, dtype: torch.dtype | None, memory_format: torch.memory_format,
    channels: int,
) -> None:  # fmt: skip
    image = random_image((3, channels, 61, 47), torch.uint8)
    region = random_region(3)
    mean = tuple(0.4 + 0.01 * c for c in range(channels))
    std = tuple(0.25 + 0.01 * c for c in range(channels))
    got = glimpse(
        image.to(device), region.to(device), (24, 40), mean=mean, std=std, dtype=dtype,
        memory_format=memory_format, backend=kernel,
    )  # fmt: skip
    assert got.is_contiguous(memory_format=memory_format)
    rows = normalization_rows(mean, std, 255.0)
    expected = expected_glimpse(image, region, (24, 40), normalization=rows)
    limit = OUTPUT[got.dtype]
    assert_close(got.cpu(), expected, Tolerance(limit.absolute / min(std), limit.relative))


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
def test_memcheck_degenerate_regions(device: str, kernel: str, padding_mode: str) -> None:
    image = random_image((1, 3, 23, 31), torch.float32)
    index = torch.zeros(len(DEGENERATE_REGIONS), dtype=torch.int64)
    got = glimpse(
        image.to(device), DEGENERATE_REGIONS.to(device), 12, image_index=index.to(device),
        padding_mode=padding_mode, backend=kernel,
    )  # fmt: skip
    expected = expected_glimpse(
        image, DEGENERATE_REGIONS, (12, 12), index, padding_mode=padding_mode
    )
    assert_close(got.cpu(), expected, OUTPUT[torch.float32])


def test_memcheck_image_index_out_of_range_is_nan(device: str, kernel: str) -> None:
    if device == "cpu":
        pytest.skip("on the CPU it is a ValueError")
    image, index = torch.ones(2, 3, 9, 9, device=device), torch.tensor([0, 2, -1, 1], device=device)
    region = torch.tensor([[0.5, 0.0, 0.0]], device=device).repeat(4, 1).requires_grad_()
    got = glimpse(image, region, 5, image_index=index, backend=kernel)
    assert got[[1, 2]].isnan().all()
    assert not got[[0, 3]].isnan().any()
    (gradient,) = torch.autograd.grad(got.sum(), region)
    assert not gradient[[0, 3]].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
def test_memcheck_gradients(device: str, kernel: str, layout: str, dtype: torch.dtype) -> None:
    image = LAYOUTS[layout](random_image((3, 3, 41, 38), dtype))
    region = random_region(3) * 0.93
    if dtype == torch.float64:
        region = region.double()
    grad = random_image((3, 3, 19, 26), dtype, seed=5)
    exact_image = image.double().clone().requires_grad_()
    exact_region = region.double().clone().requires_grad_()
    samples = expected_glimpse(exact_image, exact_region, (19, 26))
    samples.backward(grad.double())
    ours_image = on(device, image).requires_grad_()
    ours_region = region.to(device).requires_grad_()
    glimpse(ours_image, ours_region, (19, 26), backend=kernel).backward(grad.to(device))
    assert ours_image.grad is not None
    assert ours_region.grad is not None
    assert exact_image.grad is not None
    assert exact_region.grad is not None
    limit = OUTPUT[torch.float32 if dtype == torch.bfloat16 else dtype]
    terms = 3 * 19 * 26
    assert_close(ours_region.grad.cpu(), exact_region.grad, limit, unit=20.0 * terms**0.5)
    assert_close(ours_image.grad.cpu(), exact_image.grad, OUTPUT[dtype], unit=terms**0.5)


@pytest.mark.parametrize("antialias", [False, True])
def test_same_bits_every_time(device: str, kernel: str, antialias: bool) -> None:
    image = random_image((8, 3, 64, 64), torch.float32).to(device)
    grad = random_image((8, 3, 32, 32), torch.float32, seed=3).to(device)

    def gradients() -> tuple[Tensor, ...]:
        inputs = (image.clone().requires_grad_(), random_region(8).to(device).requires_grad_())
        samples = glimpse(*inputs, 32, backend=kernel, antialias=antialias)
        return torch.autograd.grad(samples, inputs, grad)

    first = gradients()
    for _ in range(5):
        for one, other in zip(first, gradients(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_memcheck_logits(device: str, kernel: str, dtype: torch.dtype, antialias: bool) -> None:
    image = random_image((4, 3, 50, 45), torch.float32).to(dtype)
    logits = random_image((4, 3), torch.float64, seed=7).to(dtype)
    grad = random_image((4, 3, 11, 21), dtype, seed=8)
    exact = logits.double().clone().requires_grad_()
    p = torch.sigmoid(exact)
    scale = p[:, :1] * 0.3 + 0.2
    expected_region = torch.cat([scale, (2 * p[:, 1:] - 1) * (1 - scale)], dim=1)
    expected = expected_glimpse(image, expected_region, (11, 21), antialias=antialias)
    expected.backward(grad.double())
    ours = logits.to(device).requires_grad_()
    samples, region = glimpse_from_logits(
        image.to(device), ours, (11, 21), gradient_scale=0.02, backend=kernel, antialias=antialias
    )
    assert_close(region.cpu(), expected_region.detach(), OUTPUT[dtype])
    # The region is rounded to its dtype before it is sampled at: half a unit of it, times slopes.
    slack = Tolerance(OUTPUT[dtype].absolute * 10, 0.0)
    assert_close(samples.detach().cpu(), expected.detach(), slack)
    samples.backward(grad.to(device))
    assert ours.grad is not None
    assert exact.grad is not None
    assert_close(ours.grad.cpu(), 0.02 * exact.grad, slack, unit=20.0)
