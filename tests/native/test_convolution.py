"""Convolutions by the package's own kernels, with weights stored in 32, 16 and 8 bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.tolerances import CONVOLUTION, HALF_TILES, TILES
from torch import Tensor

from mgnet_fast.engine.convolutions import winograd
from mgnet_fast.engine.convolutions.folded_convolution import FoldedConvolution
from mgnet_fast.engine.convolutions.native_convolution import NativeConvolution, takes
from mgnet_fast.engine.convolutions.weight_storage import (
    LANES,
    STORAGES,
    WeightMemory,
    restored,
    stored,
)

# Channels, outputs, kernel, stride, padding, height, width: layers of ResNets and of the toy CNN,
# maps of one pixel, outputs that do not fill a block, and maps of several strips.
LAYERS = [
    (3, 64, 7, 2, 3, 96, 96),
    (64, 64, 3, 1, 1, 24, 24),
    (128, 48, 3, 2, 1, 12, 12),
    (512, 32, 3, 1, 1, 3, 3),
    (600, 24, 1, 1, 0, 3, 3),
    (64, 40, 1, 2, 0, 6, 6),
    (1, 16, 5, 1, 2, 28, 28),
    (5, 17, 3, 2, 1, 9, 7),
    (300, 16, 2, 1, 1, 1, 1),
    (2, 3, 3, 1, 0, 5, 400),
    (64, 80, 3, 1, 1, 11, 14),
]
# Maps that tiles do not fill, padding on no side or twice, few and odd channels, several pieces.
TILED = [
    (64, 64, 3, 1, 1, 24, 24),
    (300, 40, 3, 1, 1, 6, 6),
    (3, 17, 3, 1, 2, 5, 7),
    (20, 3, 3, 1, 0, 3, 11),
    (33, 24, 3, 1, 1, 1, 1),
]


def folded(layer: tuple[int, ...], relu: bool = True) -> FoldedConvolution:
    inputs, outputs, kernel, stride, padding, *_ = layer
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(
        (outputs, inputs, kernel, kernel), generator=generator, dtype=torch.float64
    )
    weight /= (inputs * kernel * kernel) ** 0.5
    bias = torch.randn(outputs, generator=generator, dtype=torch.float64)
    return FoldedConvolution(weight, bias, (stride, stride), (padding, padding), (1, 1), 1, relu)


def maps(layer: tuple[int, ...], count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    x = torch.randn((count, layer[0], *layer[5:]), generator=generator)
    return x.to(memory_format=torch.channels_last)


def exact(of: FoldedConvolution, storage: str, x: Tensor) -> Tensor:
    """The sums in float64, with the weights as they are stored."""
    weight = restored(stored(of.weight, storage, WeightMemory()), len(of.bias))
    return F.conv2d(x.double(), weight, of.bias, of.stride, of.padding)


def assert_near(found: Tensor, wanted: Tensor, tolerance: float = CONVOLUTION) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


def use_tiles(monkeypatch: pytest.MonkeyPatch, m: int) -> None:
    monkeypatch.setattr(winograd, "tile_for", lambda *_: m)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_sums_near_float64(
    isa: str, monkeypatch: pytest.MonkeyPatch, layer: tuple[int, ...], storage: str
) -> None:
    use_tiles(monkeypatch, 0)
    x = maps(layer, 3)
    relu, plain = folded(layer), folded(layer, relu=False)
    sums = exact(relu, storage, x)
    other = torch.randn(sums.shape, generator=torch.Generator().manual_seed(1))
    assert_near(NativeConvolution(relu, storage)(x), F.relu(sums))
    assert_near(NativeConvolution(relu, storage)(x, other), F.relu(sums + other))
    assert_near(NativeConvolution(plain, storage)(x, other), sums + other)


@pytest.mark.parametrize(
    ("m", "storage"), [(2, "fp32"), (4, "fp32"), (2, "fp16"), (4, "fp16"), (4, "int8")]
)
@pytest.mark.parametrize("layer", TILED, ids=str)
def test_tiles_near_float64(
    isa: str, monkeypatch: pytest.MonkeyPatch, layer: tuple[int, ...], m: int, storage: str
) -> None:
    use_tiles(monkeypatch, m)
    tolerance = HALF_TILES if (m, storage) == (2, "fp16") else TILES[m]
    x = maps(layer, 7)
    relu, plain = folded(layer), folded(layer, relu=False)
    sums = exact(relu, storage, x)
    other = torch.randn(sums.shape, generator=torch.Generator().manual_seed(1))
    assert_near(NativeConvolution(relu, storage)(x), F.relu(sums), tolerance)
    assert_near(NativeConvolution(plain, storage)(x, other), sums + other, tolerance)


@pytest.mark.parametrize(
    ("layer", "storage", "m"),
    [
        ((64, 64, 3, 1, 1, 56, 56), "fp32", 4),
        ((128, 128, 3, 1, 1, 12, 12), "fp32", 4),
        ((256, 256, 3, 1, 1, 6, 6), "fp32", 2),
        ((512, 512, 3, 1, 1, 3, 3), "fp32", 0),
        ((64, 64, 3, 1, 1, 24, 24), "fp16", 4),
        ((64, 64, 3, 1, 1, 24, 24), "int8", 4),
        ((256, 256, 3, 1, 1, 6, 6), "fp16", 2),
        ((256, 256, 3, 1, 1, 6, 6), "int8", 0),
        ((16, 16, 3, 1, 1, 12, 12), "fp32", 0),
    ],
    ids=str,
)
def test_tiles_are_for_many_pixels_and_channels(
    layer: tuple[int, ...], storage: str, m: int
) -> None:
    inputs, outputs, *_, height, width = layer
    assert winograd.tile_for(inputs, outputs, (height, width), (1, 1), storage) == m


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_the_bits_of_an_image_are_its_own(isa: str, layer: tuple[int, ...]) -> None:
    """Alone, among others, on any number of threads."""
    x, convolution = maps(layer, 35), NativeConvolution(folded(layer))
    together = convolution(x)
    for first, last in ((0, 1), (31, 35), (3, 20)):
        assert torch.equal(convolution(x[first:last]), together[first:last])
    torch.set_num_threads(3)
    assert torch.equal(convolution(x), together)


@pytest.mark.parametrize(
    ("storage", "m"),
    [(storage, m) for storage in STORAGES for m in (0, 2, 4) if (storage, m) != ("int8", 2)],
)
def test_vectors_of_any_width_give_the_same_bits(
    native: Any, monkeypatch: pytest.MonkeyPatch, storage: str, m: int
) -> None:
    if not {"avx2", "avx512"} <= set(native.available_isas()):
        pytest.skip("this processor has one width of vectors")
    use_tiles(monkeypatch, m)
    x, convolution = maps(LAYERS[3], 5), NativeConvolution(folded(LAYERS[3]), storage)
    before, found = native.selected_isa(), []
    for isa in ("avx2", "avx512"):
        native.select_isa(isa)
        found.append(convolution(x))
    native.select_isa(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("m", [0, 2, 4])
def test_nan_and_infinity_stay_where_they_are_seen(
    isa: str, monkeypatch: pytest.MonkeyPatch, m: int
) -> None:
    use_tiles(monkeypatch, m)
    layer = (64, 20, 3, 1, 1, 6, 6)
    x, convolution = maps(layer, 3), NativeConvolution(folded(layer))
    clean = convolution(x)
    for odd in (torch.nan, torch.inf):
        spoiled = x.clone()
        spoiled[1, 5, 0, 0] = odd
        found = convolution(spoiled)
        reach = max(m, 2)  # all of a tile, or the neighbours
        sees = torch.zeros(3, 1, 6, 6, dtype=torch.bool)
        sees[1, 0, :reach, :reach] = True
        assert torch.equal(found.where(~sees, clean), clean)
        seen = found[1, :, :2, :2]
        is_odd = seen.isnan() if odd != odd else ~seen.isfinite() | (seen == 0)
        assert bool(is_odd.all())


def test_any_layout_and_an_empty_batch(isa: str) -> None:
    layer = (8, 24, 3, 1, 1, 6, 5)
    of = folded(layer)
    strided = FoldedConvolution(
        of.weight.transpose(2, 3).contiguous().transpose(2, 3), of.bias, of.stride, of.padding,
        of.dilation, 1, relu=True,
    )  # fmt: skip
    assert not strided.weight.is_contiguous()
    x, other = maps(layer, 4), torch.randn(4, 24, 6, 5)
    wanted = NativeConvolution(of)(x, other.to(memory_format=torch.channels_last))
    convolution = NativeConvolution(strided)
    assert torch.equal(convolution(x.contiguous(), other), wanted)
    assert torch.equal(
        convolution(x.repeat(2, 1, 1, 1)[::2], other), convolution(x[[0, 2, 0, 2]], other)
    )
    assert convolution(x[:0]).shape == (0, 24, 6, 5)


def test_what_does_not_fit_is_said(native: Any) -> None:
    convolution = NativeConvolution(folded((8, 24, 3, 1, 0, 6, 5)))
    x = torch.randn(2, 8, 6, 5)
    with pytest.raises(ValueError, match=r"x must be float32 \[B, 8, h, w\], got .*\[2, 7, 6, 5\]"):
        convolution(x[:, :7])
    with pytest.raises(ValueError, match=r"x must be float32 .*, got torch.float64"):
        convolution(x.double())
    with pytest.raises(ValueError, match=r"other must be float32 of shape \[2, 24, 4, 3\], got"):
        convolution(x, torch.randn(1, 24, 4, 3))
    with pytest.raises(ValueError, match="padded map must be at least as large as the kernel"):
        convolution(x[:, :, :2])


def test_which_convolutions_the_kernels_take() -> None:
    of = folded((8, 24, 3, 1, 1, 6, 5))
    assert takes(of)
    for change in ({"groups": 2}, {"dilation": (2, 1)}, {"padding": (1, 3)}):
        assert not takes(FoldedConvolution(**{**vars(of), **change}))


@pytest.mark.parametrize(("storage", "rounding"), [("fp32", 2**-24), ("fp16", 2**-11)])
def test_stored_weights_are_rounded_once(storage: str, rounding: float) -> None:
    """Channels of any size: beyond the range of float16, tiny, zero."""
    weight = folded((6, 20, 3, 1, 1, 6, 6)).weight
    weight[0] *= 1e9
    weight[1] *= 1e-9
    weight[2] = 0
    values, scale = stored(weight, storage, WeightMemory())
    assert values.shape == (2, 3, 3, 6, LANES)
    rows = values.permute(0, 4, 3, 1, 2).reshape(32, 6, 3, 3).double()
    found = rows * scale.double().view(-1, 1, 1, 1)
    size = weight.abs().clamp(min=2**-13 * weight.abs().amax(dim=(1, 2, 3), keepdim=True))
    assert bool(((found[:20] - weight).abs() <= rounding * size).all())
    assert not found[20:].any()


def test_weights_in_bytes_are_within_half_a_step() -> None:
    weight = folded((6, 20, 3, 1, 1, 6, 6)).weight
    weight[2] = 0
    values, scale = stored(weight, "int8", WeightMemory())
    rows = values.permute(0, 4, 3, 1, 2).reshape(32, 6, 3, 3).double()[:20]
    step = scale.double()[:20].view(-1, 1, 1, 1)
    assert bool(((rows * step - weight).abs() <= 0.50001 * step).all())
    assert set(rows.abs().amax(dim=(1, 2, 3)).tolist()) == {0.0, 127.0}
