"""The fusion step in C++: near float64 in every instruction set, and a slot's own bits always."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from support.forking import forked
from support.tolerances import FUSION
from torch import Tensor, nn

from mgnet_fast.models.mgnet.fusion import FeatureFusion
from mgnet_fast.ops.fusion import fusion_step as in_torch
from mgnet_fast.ops.fusion import native_fusion
from mgnet_fast.ops.fusion.fusion_weights import StepWeights

PLACES, CLASSES = 5, 11


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def weights(width: int, dtype: torch.dtype = torch.float32) -> StepWeights:
    torch.manual_seed(width)
    layers = (FeatureFusion(width), nn.Linear(width, CLASSES), nn.Linear(width, 3))
    for layer in layers:
        layer.requires_grad_(False)
        for parameter in layer.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter)
    fusion, classify, locate = (layer.to(dtype) for layer in layers)
    return StepWeights.of(fusion.mha, fusion.norm, classify, locate, (0.2, 0.5))


def inputs(slots: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(slots)
    tokens = torch.randn(slots, PLACES, width, generator=generator)
    feature = torch.randn(slots, width - 3, generator=generator)
    region = torch.rand(slots, 3, generator=generator)
    return feature, region, tokens, torch.arange(slots) % PLACES + 1


# Widths around the eight lanes, outputs around the tiles, rows in fours, twos and ones.
@pytest.mark.parametrize("width", [3, 7, 8, 19, 131])
@pytest.mark.parametrize("slots", [1, 2, 3, 4, 7, 13])
def test_near_float64(isa: str, slots: int, width: int) -> None:
    feature, region, tokens, length = inputs(slots, width)
    exact = in_torch.reference(
        feature.double(), region.double(), tokens.double(), length, weights(width, torch.float64)
    )
    for got, expected in zip(
        native_fusion.fusion_step(feature, region, tokens, length, weights(width)),
        exact,
        strict=True,
    ):
        assert float((got - expected).abs().max()) <= FUSION[torch.float32] * max(
            1.0, float(expected.abs().max())
        )


@pytest.mark.parametrize("width", [131, 515])
def test_the_bits_of_a_slot_are_its_own(isa: str, width: int) -> None:
    """Alone, among others, at another address, on any number of threads."""
    slots = 13
    feature, region, tokens, length = inputs(slots, width)
    step = weights(width)
    torch.set_num_threads(1)
    together = native_fusion.fusion_step(feature, region, tokens.clone(), length, step)
    for first, last in ((0, 1), (5, 6), (2, 4), (4, 7), (1, 6), (3, 13)):
        some = [each[first:last] for each in (feature, region, tokens.clone(), length)]
        for one, other in zip(native_fusion.fusion_step(*some, step), together, strict=True):
            assert torch.equal(one, other[first:last])
    for threads in (2, 5):
        torch.set_num_threads(threads)
        again = native_fusion.fusion_step(feature, region, tokens.clone(), length, step)
        assert all(torch.equal(one, other) for one, other in zip(again, together, strict=True))


def test_many_threads_share_a_wide_layer(isa: str) -> None:
    feature, region, tokens, length = inputs(16, 1027)
    step = weights(1027)
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(native_fusion.fusion_step(feature, region, tokens.clone(), length, step))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_nothing_to_do(isa: str) -> None:
    logits, following = native_fusion.fusion_step(*inputs(0, 19), weights(19))
    assert logits.shape == (0, CLASSES)
    assert following.shape == (0, 3)


def test_shapes_that_do_not_fit() -> None:
    feature, region, tokens, length = inputs(4, 19)
    with pytest.raises(ValueError, match=r"must be \[4, 16\] and \[4, 3\], .* got \[4, 15\]"):
        native_fusion.fusion_step(feature[:, 1:], region, tokens, length, weights(19))
    with pytest.raises(ValueError, match=r"length must be \[4\], got \[3\]"):
        native_fusion.fusion_step(feature, region, tokens, length[:3], weights(19))


def test_a_forked_process_that_asks_for_two_threads_ends() -> None:
    feature, region, tokens, length = inputs(64, 515)
    step = weights(515)
    torch.set_num_threads(2)
    # Copied before the fork: torch's own operations on so many numbers would hang in the child.
    before = tokens.clone()
    together = native_fusion.fusion_step(feature, region, tokens, length, step)

    def child() -> bool:
        torch.set_num_threads(2)
        again = native_fusion.fusion_step(feature, region, before, length, step)
        return all(torch.equal(*pair) for pair in zip(again, together, strict=True))

    assert forked(child) == 0
