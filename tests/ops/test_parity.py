"""Outputs of every native backend against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.cases import (
    DEGENERATE_REGIONS,
    LAYOUTS,
    expected_glimpse,
    normalization_rows,
    random_image,
    random_region,
)
from support.tolerances import OUTPUT, Tolerance, assert_close

from mgnet_fast import glimpse, glimpse_from_logits

pytestmark = pytest.mark.usefixtures("poisoned_memory")

IMAGE_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8)
SIZES = ((1, 1), (2, 3), (16, 16), (28, 28), (63, 17), (5, 100))
SHAPES = ((2, 3, 37, 53), (3, 1, 1, 1), (2, 2, 1, 40), (2, 5, 40, 1), (2, 3, 2, 2), (1, 4, 130, 90))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", IMAGE_DTYPES, ids=str)
def test_layouts_and_dtypes(
    backend: str, dtype: torch.dtype, layout: str, padding_mode: str, align_corners: bool
) -> None:
    image = LAYOUTS[layout](random_image((4, 3, 37, 53), dtype))
    for columns, size in ((3, (28, 28)), (4, (9, 33))):
        region = random_region(4, columns)
        got = glimpse(
            image, region, size, padding_mode=padding_mode, align_corners=align_corners,
            backend=backend,
        )  # fmt: skip
        assert got.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
        expected = expected_glimpse(
            image, region, size, padding_mode=padding_mode, align_corners=align_corners
        )
        assert_close(got, expected, OUTPUT[got.dtype])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_channels_and_result_layouts(
    backend: str, dtype: torch.dtype, memory_format: torch.memory_format, layout: str, channels: int
) -> None:
    image = LAYOUTS[layout](random_image((2, channels, 61, 47), dtype))
    region = random_region(2)
    got = glimpse(image, region, (21, 35), memory_format=memory_format, backend=backend)
    assert got.is_contiguous(memory_format=memory_format)
    assert_close(got, expected_glimpse(image, region, (21, 35)), OUTPUT[got.dtype])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_odd_shapes(
    backend: str, dtype: torch.dtype, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    for layout in ("contiguous", "channels_last"):
        image = LAYOUTS[layout](random_image(shape, dtype))
        for align_corners in (True, False):
            region = random_region(shape[0])
            got = glimpse(image, region, size, align_corners=align_corners, backend=backend)
            expected = expected_glimpse(image, region, size, align_corners=align_corners)
            assert_close(got, expected, OUTPUT[got.dtype])


@pytest.mark.parametrize("stride", [0.3, 1.0, 2.0, 2.9, 3.9, 4.2, 7.9, 8.5, 20.0])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bfloat16], ids=str)
def test_every_sampling_stride(
    backend: str, dtype: torch.dtype, layout: str, stride: float
) -> None:
    """Kernels choose their way by the distance between samples: each way is taken here."""
    width = 700
    image = LAYOUTS[layout](random_image((1, 3, 64, width), dtype))
    for size in (15, 16, 33, 35):
        scale = min(stride * (size - 1) / (width - 1), 1.0)
        for centre in (0.0, 0.013, 1 - scale, scale - 1, 1.0):
            region = torch.tensor([[scale, 0.7, centre, 0.1]])
            got = glimpse(image, region, (5, size), backend=backend)
            assert_close(got, expected_glimpse(image, region, (5, size)), OUTPUT[got.dtype])


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8], ids=str)
def test_degenerate_regions(
    backend: str, dtype: torch.dtype, align_corners: bool, padding_mode: str
) -> None:
    region = DEGENERATE_REGIONS
    index = torch.arange(region.shape[0]) % 2
    for layout in ("contiguous", "channels_last"):
        image = LAYOUTS[layout](random_image((2, 3, 19, 23), dtype))
        got = glimpse(
            image, region, 17, image_index=index, align_corners=align_corners,
            padding_mode=padding_mode, backend=backend,
        )  # fmt: skip
        expected = expected_glimpse(
            image, region, (17, 17), index, align_corners=align_corners, padding_mode=padding_mode
        )
        assert_close(got, expected, OUTPUT[got.dtype])
        finite = torch.isfinite(region).all(dim=1)
        assert torch.equal(got.isnan().flatten(1).all(dim=1), ~finite)


@pytest.mark.parametrize("side", [4000, 16384])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_float32_stays_exact_on_large_images(backend: str, layout: str, side: int) -> None:
    image = LAYOUTS[layout](random_image((1, 2, 24, side), torch.float32))
    for region in ([[1.0, 0.0, 0.0]], [[0.31, 0.123, -0.4]], [[0.013, -0.97, 0.3]]):
        got = glimpse(image, torch.tensor(region), 96, backend=backend)
        expected = expected_glimpse(image, torch.tensor(region), (96, 96))
        assert_close(got, expected, OUTPUT[torch.float32])


@pytest.mark.parametrize("channels_last", [False, True])
def test_more_than_two_to_the_31_elements(backend: str, channels_last: bool) -> None:
    """The last pixels of the last image; nothing else of these gigabytes is ever touched."""
    side, count, channels = (50_000, 1, 1) if not channels_last else (20_000, 2, 3)
    pixels = torch.from_numpy(np.zeros((count, side, side, channels), np.uint8))
    assert pixels.numel() > 2**31
    pixels[-1, -3:, -3:] = 255
    image = pixels.permute(0, 3, 1, 2)
    region = torch.tensor([[1e-5, 1.0, 1.0]])
    index = torch.tensor([count - 1])
    got = glimpse(image, region, 3, image_index=index, padding_mode="border", backend=backend)
    assert torch.equal(got, torch.ones_like(got))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
def test_normalisation_comes_before_zero_padding(
    backend: str, dtype: torch.dtype, layout: str
) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = LAYOUTS[layout](random_image((2, 3, 40, 44), dtype))
    region = torch.tensor([[1.4, 0.1, 0.0], [0.5, 3.0, 0.0]])
    unit = 255.0 if dtype == torch.uint8 else 1.0
    rows = normalization_rows(mean, std, unit)
    expected = expected_glimpse(image, region, (24, 24), normalization=rows)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        for constants in ((mean, std), (torch.tensor(mean), torch.tensor(std, dtype=torch.double))):
            got = glimpse(
                image, region, 24, mean=constants[0], std=constants[1], dtype=torch.float32,
                memory_format=memory_format, backend=backend,
            )  # fmt: skip
            # N(0, 1) divided by std has values of 1 / std
            unit_of_result = 1 / min(std)
            tolerance = Tolerance(OUTPUT[torch.float32].absolute * unit_of_result, 0.0)
            assert_close(got, expected, tolerance)
    assert (got[1] == 0).all()


def test_many_regions_of_one_image(backend: str) -> None:
    image = random_image((3, 3, 30, 31), torch.float32)
    region = random_region(20)
    index = torch.randint(0, 3, (20,), generator=torch.Generator().manual_seed(0))
    expected = expected_glimpse(image, region, (8, 8), index)
    for indices in (index, index.int(), index.repeat_interleave(2)[::2]):
        got = glimpse(image, region, 8, image_index=indices, backend=backend)
        assert_close(got, expected, OUTPUT[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_requested_output_dtype(backend: str, dtype: torch.dtype) -> None:
    for source in (torch.uint8, torch.float32):
        image = random_image((2, 3, 33, 29), source)
        region = random_region(2)
        for memory_format in (torch.contiguous_format, torch.channels_last):
            got = glimpse(
                image, region, 20, dtype=dtype, memory_format=memory_format, backend=backend
            )
            assert got.dtype == dtype
            exact_in_float32 = Tolerance(2e-6, OUTPUT[dtype].relative)
            assert_close(got, expected_glimpse(image, region, (20, 20)), exact_in_float32)


def test_strided_and_float64_regions(backend: str) -> None:
    image = random_image((6, 3, 33, 29), torch.float32)
    wide = random_region(12, columns=4, dtype=torch.float64)
    for region in (wide[::2], wide.float()[::2], wide[:6, 1:], wide.t().contiguous().t()[6:]):
        got = glimpse(image, region, 12, backend=backend)
        assert_close(got, expected_glimpse(image, region, (12, 12)), OUTPUT[torch.float32])


def test_never_further_from_float64_than_grid_sample(backend: str) -> None:
    for side in (33, 224, 1500):
        image = random_image((2, 3, side, side), torch.float32)
        region = torch.tensor([[0.4, 0.13, -0.31], [1.0, 0.0, 0.0]])
        expected = expected_glimpse(image, region, (96, 96))
        ours = glimpse(image, region, 96, backend=backend)
        eager = glimpse(image, region, 96, backend="reference")
        assert (ours - expected).abs().max() <= (eager - expected).abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_logits_give_the_region_and_its_glimpse(backend: str, dtype: torch.dtype) -> None:
    image = random_image((5, 3, 40, 50), torch.float32)
    logits = random_image((5, 3), dtype, seed=3) * 3
    logits[0] = torch.tensor([90.0, -90.0, 90.0])
    samples, region = glimpse_from_logits(
        image, logits, (14, 18), scale_range=(0.1, 0.7), backend=backend
    )
    exact = logits.double().sigmoid()
    scale = exact[:, :1] * (0.7 - 0.1) + 0.1
    expected = torch.cat([scale, (2 * exact[:, 1:] - 1) * (1 - scale)], dim=1)
    assert region.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_close(region, expected, Tolerance(1e-12 if dtype == torch.float64 else 1e-7, 0.0))
    # the region that is returned is the one that was looked at, rounding included
    assert_close(samples, expected_glimpse(image, region, (14, 18)), OUTPUT[torch.float32])


def test_empty_batches(backend: str) -> None:
    none = torch.zeros(0, 3, requires_grad=True)
    for image in (torch.randn(0, 3, 8, 8), torch.zeros(0, 3, 8, 8, dtype=torch.uint8)):
        assert glimpse(image, none, 4, backend=backend).shape == (0, 3, 4, 4)
    image = torch.randn(2, 3, 8, 8, requires_grad=True)
    index = torch.zeros(0, dtype=torch.int64)
    samples = glimpse(image, none, (4, 5), image_index=index, backend=backend)
    assert samples.shape == (0, 3, 4, 5)
    samples.sum().backward()
    assert image.grad is not None
    assert (image.grad == 0).all()
    samples, region = glimpse_from_logits(torch.randn(0, 1, 8, 8), none, 4, backend=backend)
    assert samples.shape == (0, 1, 4, 4)
    assert region.shape == (0, 3)
    assert glimpse(torch.randn(2, 0, 8, 8), torch.ones(2, 3), 4, backend=backend).numel() == 0
