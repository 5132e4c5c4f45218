"""Antialiased glimpses against the float64 reference, and the reference against other libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.cases import (
    DEGENERATE_REGIONS,
    LAYOUTS,
    expected_glimpse,
    normalization_rows,
    random_image,
    random_region,
    unit_of_region_gradient,
)
from support.tolerances import GRADIENT, OUTPUT, assert_close
from torch import Tensor

from mgnet_fast import ImagePool, glimpse, glimpse_from_logits

pytestmark = pytest.mark.usefixtures("poisoned_memory")

FLOAT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# From samples less than a pixel apart to single ones of whole images.
SIZES = ((1, 1), (3, 7), (9, 33), (28, 2), (40, 70))
GRIDS = list(itertools.product(("zeros", "border"), (True, False)))


@pytest.mark.parametrize(("padding_mode", "align_corners"), [("zeros", True), ("border", False)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*FLOAT_DTYPES, torch.uint8], ids=str)
def test_layouts_and_dtypes(
    backend: str, dtype: torch.dtype, layout: str, padding_mode: str, align_corners: bool
) -> None:
    image = LAYOUTS[layout](random_image((4, 3, 61, 83), dtype))
    options = {"padding_mode": padding_mode, "align_corners": align_corners, "antialias": True}
    for columns, size in zip((3, 4, 3, 4, 3), SIZES, strict=True):
        region = random_region(4, columns)
        got = glimpse(image, region, size, **options, backend=backend)
        assert_close(got, expected_glimpse(image, region, size, **options), OUTPUT[got.dtype])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 17])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_channels_and_odd_images(
    backend: str, dtype: torch.dtype, layout: str, channels: int
) -> None:
    for shape in ((1, 1), (1, 40), (40, 1), (2, 3), (130, 90), (19, 700)):
        image = LAYOUTS[layout](random_image((2, channels, *shape), dtype))
        region = random_region(2)
        for size in ((1, 1), (5, 3), (33, 20)):
            got = glimpse(image, region, size, antialias=True, backend=backend)
            expected = expected_glimpse(image, region, size, antialias=True)
            assert_close(got, expected, OUTPUT[got.dtype])


@pytest.mark.parametrize("pixels_apart", [1.01, 2.0, 3.7, 7.9, 15.4, 15.6, 40.0, 333.0])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_every_distance_of_samples(
    backend: str, dtype: torch.dtype, layout: str, pixels_apart: float
) -> None:
    """Few and many weights take other ways; so do halves of more rows than one block."""
    image = LAYOUTS[layout](random_image((1, 3, 700, 90), dtype).transpose(2, 3))
    for size in ((2, 2), (7, 17)):
        scales = pixels_apart * size[1] / 700, pixels_apart * size[0] / 90
        region = torch.tensor([[*scales, 0.013, -0.2]])
        options = {"align_corners": False, "antialias": True, "padding_mode": "border"}
        got = glimpse(image, region, size, **options, backend=backend)
        assert_close(got, expected_glimpse(image, region, size, **options), OUTPUT[got.dtype])


@pytest.mark.parametrize(("padding_mode", "align_corners"), GRIDS)
def test_degenerate_regions(backend: str, padding_mode: str, align_corners: bool) -> None:
    count = len(DEGENERATE_REGIONS)
    image = random_image((1, 2, 31, 40), torch.float32).expand(count, -1, -1, -1)
    options = {"padding_mode": padding_mode, "align_corners": align_corners, "antialias": True}
    got = glimpse(image, DEGENERATE_REGIONS, (5, 6), **options, backend=backend)
    expected = expected_glimpse(image, DEGENERATE_REGIONS, (5, 6), **options)
    assert_close(got, expected, OUTPUT[torch.float32])


def test_close_samples_keep_their_bits(backend: str) -> None:
    image = random_image((3, 3, 50, 60), torch.uint8)
    region = torch.tensor([[0.4, 0.1, 0.1], [0.999, 0.0, 0.0], [-0.2, 0.9, 0.3]])
    for align_corners in (True, False):
        options = {"align_corners": align_corners, "backend": backend}
        plain = glimpse(image, region, (50, 60), **options)
        assert torch.equal(plain, glimpse(image, region, (50, 60), antialias=True, **options))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.usefixtures("restored_threads")
def test_bits_do_not_depend_on_threads_or_company(backend: str, threads: int) -> None:
    image = random_image((4, 3, 300, 400), torch.uint8)
    region = random_region(4)
    torch.set_num_threads(threads)
    together = glimpse(image, region, 40, antialias=True, backend=backend)
    torch.set_num_threads(1)
    for n in range(4):
        one = image[n : n + 1], region[n : n + 1]
        alone = glimpse(*one, 40, antialias=True, backend=backend)
        assert torch.equal(together[n : n + 1], alone)


def test_pools_and_indices(backend: str) -> None:
    images = [random_image((3, 90, 70), torch.uint8), random_image((3, 20, 130), torch.uint8)]
    index = torch.tensor([1, 0, 1])
    region = random_region(3)
    options = {"antialias": True, "mean": (0.5,) * 3, "std": (0.2, 0.3, 0.4)}
    got = glimpse(ImagePool(images), region, 9, image_index=index, **options, backend=backend)
    for n, source in enumerate(index.tolist()):
        one = images[source][None]
        alone = glimpse(one, region[n : n + 1], 9, **options, backend=backend)
        assert torch.equal(got[n : n + 1], alone)
        rows = normalization_rows(options["mean"], options["std"], 255.0)
        expected = expected_glimpse(
            one, region[n : n + 1], (9, 9), normalization=rows, antialias=True
        )
        assert_close(alone, expected, OUTPUT[torch.float32], unit=4.0)


@pytest.mark.parametrize(("padding_mode", "align_corners"), [("zeros", True), ("border", False)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*FLOAT_DTYPES, torch.uint8], ids=str)
def test_gradients(
    backend: str, dtype: torch.dtype, layout: str, padding_mode: str, align_corners: bool
) -> None:
    image = LAYOUTS[layout](random_image((4, 3, 37, 53), dtype))
    options = {"padding_mode": padding_mode, "align_corners": align_corners, "antialias": True}
    for columns, size in ((3, (7, 9)), (4, (2, 33))):
        region = random_region(4, columns)
        ours = region.clone().requires_grad_()
        pixels = image.detach().requires_grad_(dtype.is_floating_point)
        samples = glimpse(pixels, ours, size, **options, backend=backend)
        grad = random_image(tuple(samples.shape), samples.dtype, seed=5)
        samples.backward(grad)
        exact = region.double().requires_grad_()
        exact_pixels = image.double().clone().requires_grad_()
        expected_glimpse(exact_pixels, exact, size, **options).backward(
            grad.double() * (1 / 255 if dtype == torch.uint8 else 1)
        )
        assert ours.grad is not None
        assert exact.grad is not None
        unit = unit_of_region_gradient(grad, image) * (1.0 if dtype != torch.uint8 else 0.5)
        assert_close(ours.grad, exact.grad, GRADIENT[torch.float32], unit)
        if dtype.is_floating_point:
            assert pixels.grad is not None
            assert exact_pixels.grad is not None
            assert_close(pixels.grad, exact_pixels.grad, GRADIENT[dtype], unit=4.0)


@pytest.mark.parametrize("each", ["region", "image"])
def test_gradcheck(backend: str, each: str) -> None:
    image = random_image((2, 1, 17, 19), torch.float64).requires_grad_(each == "image")
    region = torch.tensor([[0.91, 0.013, 0.02], [0.7, 0.31, -0.8]], dtype=torch.float64)
    region.requires_grad_(each == "region")
    for name in (backend, "reference"):
        assert torch.autograd.gradcheck(
            lambda i, r, name=name: glimpse(i, r, (4, 5), antialias=True, backend=name),
            (image, region),
        )


def test_gradient_to_logits(backend: str) -> None:
    image = random_image((3, 2, 90, 80), torch.float64)
    logits = random_image((3, 3), torch.float64, seed=3).requires_grad_()
    options = {"gradient_scale": 1.0, "scale_range": (0.3, 0.9), "antialias": True}
    assert torch.autograd.gradcheck(
        lambda values: glimpse_from_logits(image, values, 6, **options, backend=backend),
        (logits,),
    )


def test_opcheck_and_compile(backend: str) -> None:
    image = random_image((2, 3, 40, 50), torch.float32).requires_grad_()
    region = random_region(2).requires_grad_()
    call = (8, 8, True, "zeros", "float32", False, backend, None, True)
    torch.library.opcheck(torch.ops.mgnet_fast.glimpse, (image, region, None, None, *call))

    def sampled(image: Tensor, region: Tensor) -> Tensor:
        return glimpse(image, region, 8, antialias=True, backend=backend)

    compiled = torch.compile(sampled, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image, region), sampled(image, region))


@pytest.mark.parametrize("size", [(10, 20), (61, 20), (30, 83), (1, 1), (61, 83), (3, 61)])
def test_whole_images_equal_interpolate(backend: str, size: tuple[int, int]) -> None:
    image = random_image((2, 3, 61, 83), torch.float64)
    whole = torch.tensor([[1.0, 0.0, 0.0]] * 2, dtype=torch.float64)
    wanted = F.interpolate(image, size, mode="bilinear", antialias=True)
    options = {"align_corners": False, "antialias": True, "padding_mode": "border"}
    for name in ("reference", backend):
        assert_close(
            glimpse(image, whole, size, **options, backend=name), wanted, OUTPUT[torch.float64]
        )
    got = glimpse(image.float(), whole, size, **options, backend=backend)
    assert_close(got, F.interpolate(image.float().double(), size, mode="bilinear", antialias=True),
                 OUTPUT[torch.float32])  # fmt: skip


@pytest.mark.parametrize("box", [(0, 0, 90, 70), (10.25, 3.5, 80.75, 60.125), (30, 20, 41, 69)])
def test_boxes_equal_pillow(backend: str, box: tuple[float, float, float, float]) -> None:
    """Samples within the box, averages of pixels beside it, too: as ``resize(box=...)`` has it."""
    pixels = np.random.default_rng(0).random((70, 90), dtype=np.float32)
    left, upper, right, lower = box
    scales = (right - left) / 90, (lower - upper) / 70
    centre = (left + right) / 90 - 1, (upper + lower) / 70 - 1
    region = torch.tensor([[*scales, *centre]], dtype=torch.float64)
    size = (8, 6)
    wanted = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR, box=box)
    got = glimpse(
        torch.from_numpy(pixels)[None, None], region, size, align_corners=False, antialias=True,
        backend=backend,
    )  # fmt: skip
    difference = (got[0, 0] - torch.from_numpy(np.asarray(wanted).copy())).abs()
    assert float(difference.max()) < 1e-6


def test_rows_too_long_for_the_filter_are_refused() -> None:
    image = torch.zeros(1, 1, 1, 1).expand(1, 3, 4, 2**23)
    with pytest.raises(ValueError, match="at most 16777216 elements in a row to be antialiased"):
        glimpse(image, torch.ones(1, 3), 4, antialias=True, backend="cpu")
    pool = ImagePool([torch.zeros(1, 1, 2**24 + 1, dtype=torch.uint8)])
    with pytest.raises(ValueError, match="at most 16777216 elements"):
        glimpse(pool, torch.ones(1, 3), 4, antialias=True, backend="cpu")
    assert glimpse(image, torch.tensor([[1e-9, 0, 0]]), 4, backend="cpu").shape == (1, 3, 4, 4)
