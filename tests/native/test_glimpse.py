"""Every path of the kernels against float64, element types and layouts crossed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

SIZES = [(9, 20), (28, 28), (5, 3), (1, 1)]
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.float16: 1e-3, torch.bfloat16: 8e-3}
LAYOUTS = {
    "contiguous": lambda t: t,
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "sliced": lambda t: t[:, :, ::2, 1::2],
    "expanded": lambda t: t[:, :1].expand(-1, 3, -1, -1),
    "column_major": lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
}


def make_image(dtype: torch.dtype, layout: str, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    image = torch.randn(3, channels, 46, 91, generator=generator)
    if dtype == torch.uint8:
        image = (image * 60 + 128).clamp(0, 255)
    return LAYOUTS[layout](image.to(dtype))


def make_region(columns: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    region = torch.tensor(
        [
            [1.0, 0.97, 0.003, 0.004],
            [0.31, 0.22, 0.4123, -0.5211],
            [0.5123, 0.71, -0.81, 0.93],
        ],
        dtype=dtype,
    )
    return region if columns == 4 else region[:, [0, 2, 3]].contiguous()


def normalisation(channels: int) -> dict[str, torch.Tensor]:
    mean = torch.tensor([0.485, 0.456, 0.406, 0.5, 0.3])[:channels].double()
    std = torch.tensor([0.229, 0.224, 0.225, 0.3, 0.2])[:channels].double()
    return {"scale": 1 / (255 * std), "bias": -mean / std}


def within(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert not actual.isnan().any()
    limit = tolerance * expected.abs().clamp(min=1).max()
    assert (actual.double() - expected).abs().max() <= limit


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8]
)
def test_forward_and_region_gradient(call: Any, isa: str, dtype: torch.dtype, layout: str) -> None:
    image = make_image(dtype, layout)
    norm = normalisation(3) if dtype == torch.uint8 else {}
    region_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    for size, align, padding, columns, order in itertools.product(
        SIZES,
        (True, False),
        ("zeros", "border"),
        (3, 4),
        (torch.contiguous_format, torch.channels_last),
    ):
        glimpse = call(
            image,
            make_region(columns, region_dtype),
            size,
            align_corners=align,
            padding_mode=padding,
            memory_format=order,
            **norm,
        )
        out = glimpse.forward()
        within(out, glimpse.reference_forward(), TOLERANCE[out.dtype])
        generator = torch.Generator().manual_seed(3)
        gradient = torch.randn(out.shape, generator=generator).to(out)
        gradient = gradient.contiguous(memory_format=order)
        expected, _ = glimpse.reference_gradients(gradient)
        actual = glimpse.backward_region(gradient)
        tolerance = 1e-11 if dtype == torch.float64 else 3e-6
        within(actual, expected, tolerance)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "column_major"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_image_gradient(call: Any, isa: str, dtype: torch.dtype, layout: str) -> None:
    image = make_image(dtype, layout)
    index = torch.tensor([2, 0, 2])
    region_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    for size, align, padding in itertools.product(SIZES, (True, False), ("zeros", "border")):
        glimpse = call(
            image,
            make_region(3, region_dtype),
            size,
            align_corners=align,
            padding_mode=padding,
            image_index=index,
            scale=torch.tensor([2.0, 0.5, 1.0]).double(),
            bias=torch.tensor([0.1, 0.2, 0.3]).double(),
        )
        generator = torch.Generator().manual_seed(3)
        gradient = torch.randn((3, 3, *size), generator=generator).to(dtype)
        _, expected = glimpse.reference_gradients(gradient)
        within(glimpse.backward_image(gradient), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_samples_that_stay_in_their_region(
    call: Any, isa: str, dtype: torch.dtype, layout: str
) -> None:
    image = make_image(dtype, layout)
    region_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    region = make_region(4, region_dtype) * torch.tensor([0.3, -0.4, 1, 1], dtype=region_dtype)
    for size, order in itertools.product(
        [(70, 90), (9, 20), (5, 3)], (torch.contiguous_format, torch.channels_last)
    ):
        glimpse = call(
            image, region, size, align_corners=False, clamp_to_region=True, memory_format=order,
            **normalisation(3),
        )  # fmt: skip
        out = glimpse.forward()
        within(out, glimpse.reference_forward(), TOLERANCE[out.dtype])
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out)
        gradient = gradient.contiguous(memory_format=order)
        expected, _ = glimpse.reference_gradients(gradient)
        within(
            glimpse.backward_region(gradient),
            expected,
            1e-11 if out.dtype == torch.float64 else 3e-6,
        )


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_channels_last_of_any_channel_count(
    call: Any, isa: str, dtype: torch.dtype, channels: int
) -> None:
    image = make_image(dtype, "channels_last", channels)
    for order in (torch.contiguous_format, torch.channels_last):
        glimpse = call(
            image, make_region(3), (17, 24), memory_format=order, **normalisation(channels)
        )
        out = glimpse.forward()
        within(out, glimpse.reference_forward(), 2e-6)
        gradient = torch.randn_like(out)
        expected, _ = glimpse.reference_gradients(gradient)
        within(glimpse.backward_region(gradient), expected, 3e-6)


@pytest.mark.parametrize("scale", [1.0, 0.7, 0.45, 0.2, 0.05, -0.6, 3.0, 0.0])
@pytest.mark.parametrize("side", [40, 97, 300, 1024])
def test_every_magnification(call: Any, isa: str, side: int, scale: float) -> None:
    image = torch.randn(1, 2, side, side + 3)
    for order in (torch.contiguous_format, torch.channels_last):
        sampled = image.contiguous(memory_format=order)
        glimpse = call(sampled, torch.tensor([[scale, 0.0127, -0.0341]]), (40, 45))
        out = glimpse.forward()
        within(out, glimpse.reference_forward(), 2e-6)
        gradient = torch.randn_like(out)
        expected, _ = glimpse.reference_gradients(gradient)
        within(glimpse.backward_region(gradient), expected, 3e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_call_too_large_for_the_caches_gives_the_bits_of_its_parts(
    call: Any, isa: str, dtype: torch.dtype
) -> None:
    """Above some megabytes the kernels ask for pixels ahead of their use, below they do not."""
    image = torch.randn(1, 3, 150, 161).to(dtype)
    scales = torch.tensor([1.0, -1.0, 0.4, 2.5]).repeat(64)
    region = torch.stack([scales, 0.01 * scales, -0.02 * scales], dim=1)
    index = torch.zeros(256, dtype=torch.int64)
    glimpse = call(image, region, (20, 37), image_index=index)
    out = glimpse.forward()
    gradient = torch.randn_like(out)
    to_region = glimpse.backward_region(gradient)
    for n in range(4):
        single = call(image, region[n : n + 1], (20, 37))
        assert torch.equal(out[n::4], single.forward().expand(64, -1, -1, -1))
        assert torch.equal(to_region[n : n + 1], single.backward_region(gradient[n : n + 1]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_region_that_is_not_finite(call: Any, isa: str, bad: float) -> None:
    for layout, dtype in itertools.product(LAYOUTS, (torch.float32, torch.uint8)):
        image = make_image(dtype, layout)
        region = make_region(3)
        region[1, 2] = bad
        glimpse = call(image, region, (16, 16))
        out = glimpse.forward()
        assert out[1].isnan().all()
        assert not out[[0, 2]].isnan().any()
        gradient = glimpse.backward_region(torch.ones_like(out))
        assert gradient[1].isnan().all()
        assert not gradient[[0, 2]].isnan().any()
    image_gradient = call(make_image(torch.float32, "contiguous"), region, (16, 16)).backward_image(
        torch.ones(3, 3, 16, 16)
    )
    assert not image_gradient.isnan().any()
    assert (image_gradient[1] == 0).all()


@pytest.mark.parametrize("far", [5.0, 1e9, 1e30, -1e30, 3e38])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_far_but_finite_coordinates(call: Any, isa: str, far: float, padding: str) -> None:
    image = make_image(torch.float32, "contiguous")
    for row in ([1.0, far, 0.0], [1.0, 0.0, far], [far, 0.013, 0.021], [far, far, -far]):
        glimpse = call(image[:1], torch.tensor([row]), (16, 20), padding_mode=padding)
        within(glimpse.forward(), glimpse.reference_forward(), 2e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (2, 9), (9, 3)])
@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_tiny_images(
    call: Any, isa: str, shape: tuple[int, int], padding: str, order: torch.memory_format
) -> None:
    image = torch.randn(3, 3, *shape).contiguous(memory_format=order)
    for align in (True, False):
        glimpse = call(image, make_region(3), (10, 19), padding_mode=padding, align_corners=align)
        within(glimpse.forward(), glimpse.reference_forward(), 2e-6)
        gradient = torch.randn(3, 3, 10, 19)
        expected_region, expected_image = glimpse.reference_gradients(gradient)
        within(glimpse.backward_region(gradient), expected_region, 3e-6)
        within(glimpse.backward_image(gradient), expected_image, 3e-6)
