"""8-bit backbones: exact integer arithmetic, and results close to those in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast import Engine, Never, create_model
from mgnet_fast.assets import digit_paths
from mgnet_fast.data import TranslatedMNIST, read_digits
from mgnet_fast.engine.convolutions import (
    backbone_structure,
    quantized_backbone,
    quantized_convolution,
)
from mgnet_fast.engine.convolutions.activation_range import ActivationRange
from mgnet_fast.engine.convolutions.calibration import activation_ranges
from mgnet_fast.engine.convolutions.folded_convolution import FoldedConvolution
from mgnet_fast.engine.convolutions.quantized_convolution import (
    LEVELS,
    Quantized,
    QuantizedConvolution,
    QuantizingConvolution,
)
from mgnet_fast.models import MGNet

pytestmark = pytest.mark.skipif(
    quantized_convolution.refusal() is not None, reason=str(quantized_convolution.refusal())
)

LABELS_CHANGED = 0.005  # share of images, of the shipped network
ACCURACY_LOST = 0.005


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def in_bytes(integers: Tensor) -> Tensor:
    return integers.to(torch.uint8, memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride", "groups", "side"),
    [
        (64, 64, 3, 1, 1, 24),
        (64, 128, 3, 2, 1, 13),
        (256, 256, 3, 1, 1, 3),
        (64, 128, 1, 2, 1, 12),
        (128, 128, 3, 1, 32, 6),
        (16, 32, 5, 1, 1, 12),
    ],
)
def test_convolutions_are_exact_in_integers(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, side: int
) -> None:
    """The largest activations with the largest weights among them."""
    generator = torch.Generator().manual_seed(0)
    limit = quantized_convolution.weight_limit()
    x = torch.randint(0, LEVELS + 1, (3, inputs, side, side), generator=generator)
    x[1] = LEVELS
    shape = (outputs, inputs // groups, kernel, kernel)
    weight = torch.randint(-limit, limit + 1, shape, generator=generator).double()
    weight[0], weight[1] = limit, -limit
    weight[:, 0, 0, 0] = limit
    channel_scale = torch.rand(outputs, generator=generator).double() + 0.5
    folded = FoldedConvolution(
        weight * channel_scale.view(-1, 1, 1, 1),
        torch.randn(outputs, generator=generator).double(),
        (stride, stride), (kernel // 2, kernel // 2), (1, 1), groups, relu=True,
    )  # fmt: skip
    exact = F.conv2d(
        0.25 * x.double(), folded.weight, folded.bias, stride, kernel // 2, groups=groups
    )
    scale = float(exact.max()) / 200
    convolution = QuantizedConvolution(folded, scale, 3, limit)
    first = Quantized(in_bytes(x), 0.25, 0)

    def check(found: Quantized, wanted: Tensor) -> None:
        levels = (wanted.relu() / scale + 3).clamp(max=LEVELS)
        assert (found.values - levels).abs().max() <= 0.5 + 1e-3
        assert found[1:] == (scale, 3)

    check(convolution(first), exact)
    other = torch.randint(0, LEVELS + 1, exact.shape, generator=generator)
    shortcut = Quantized(in_bytes(other), 1.5 * scale, 100)
    check(convolution(first, shortcut), exact + 1.5 * scale * (other - 100))


def test_the_first_convolution_rounds_to_the_nearest_level() -> None:
    generator = torch.Generator().manual_seed(0)
    folded = FoldedConvolution(
        torch.randn(8, 3, 7, 7, generator=generator).double(),
        torch.randn(8, generator=generator).double(),
        (2, 2), (3, 3), (1, 1), 1, relu=True,
    )  # fmt: skip
    x = images(2, 3, 20, 20)
    exact = F.conv2d(x.double(), folded.weight, folded.bias, 2, 3).relu()
    scale = float(exact.quantile(0.9)) / LEVELS  # so that some are above the last level
    found = QuantizingConvolution(folded, scale)(Quantized(x, 1.0, 0))
    assert (found.values - (exact / scale).clamp(max=LEVELS)).abs().max() <= 0.5 + 1e-3
    assert found.values.max() == LEVELS


def test_max_pool_is_that_of_the_levels() -> None:
    levels = torch.randint(0, 256, (2, 8, 9, 11), generator=torch.Generator().manual_seed(0))
    for kernel, stride, padding in ((2, 2, 0), (3, 2, 1)):
        found = quantized_convolution.max_pool(
            Quantized(in_bytes(levels), 0.5, 0), kernel, stride, padding
        )
        wanted = F.max_pool2d(levels.float(), kernel, stride, padding)
        assert torch.equal(found.values.float(), wanted)
        assert found[1:] == (0.5, 0)


def test_weights_of_a_channel_that_is_nothing_but_zeros() -> None:
    weight = torch.zeros(2, 3, 1, 1, dtype=torch.float64)
    weight[1, 0] = -0.5
    integers, scale = quantized_convolution.quantized_weight(weight, 64)
    assert integers[:, 0, 0, 0].tolist() == [0, -64]
    assert scale.tolist() == [1.0, 0.5 / 64]


@pytest.fixture
def fresh_trial() -> Iterator[None]:
    quantized_convolution._trial.cache_clear()
    yield
    quantized_convolution._trial.cache_clear()


@pytest.mark.usefixtures("fresh_trial")
def test_weights_lose_a_bit_where_products_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflows(*arguments: int) -> bool:
        return 2 * LEVELS * arguments[-1] <= 32767

    monkeypatch.setattr(quantized_convolution, "_is_right", overflows)
    assert quantized_convolution.weight_limit() == 64


@pytest.mark.usefixtures("fresh_trial")
def test_wrong_numbers_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized_convolution, "_is_right", lambda *_: False)
    wanted = "the 8-bit operators of this torch gave wrong numbers in a trial"
    assert quantized_convolution.refusal() == wanted
    with pytest.raises(RuntimeError, match=wanted):
        quantized_convolution.weight_limit()
    with pytest.raises(ValueError, match=f"finds none that can run: packed: {wanted}"):
        Engine(create_model("mgnet_toy"), precision="int8", calibration=[images(1, 1, 40, 40)])


@pytest.mark.usefixtures("fresh_trial")
def test_other_operators_than_expected_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: int) -> bool:
        raise AttributeError("no such operator\nand more")

    monkeypatch.setattr(quantized_convolution, "_is_right", missing)
    assert quantized_convolution.refusal() == (
        "the 8-bit operators of this torch are not the expected ones: no such operator"
    )


class CheckedArithmetic:
    """8-bit convolutions, each held against real numbers in float64 on the integers it was given.

    The integer of a result must be the nearest one. Only where the real number lies half-way
    between two levels, within the rounding of float32, may it be the one beside it.
    """

    HALF_WAY = (
        1e-3  # of a level; float32 rounds 255 levels within 3e-5, and sums some terms of them
    )

    def __init__(self, ranges: list[ActivationRange]) -> None:
        self._ranges = iter(ranges)
        self._is_first = True
        self.checked = 0

    def convolution(self, folded: FoldedConvolution) -> Callable[..., Quantized]:
        scale, zero_point = next(self._ranges).integers(LEVELS)
        weight = folded.weight
        convolution: Any
        if self._is_first:
            convolution = QuantizingConvolution(folded, scale)
        else:
            limit = quantized_convolution.weight_limit()
            convolution = QuantizedConvolution(folded, scale, zero_point, limit)
            integers, steps = quantized_convolution.quantized_weight(weight, limit)
            weight = integers.double() * steps.double().view(-1, 1, 1, 1)
        self._is_first = False

        def run(x: Quantized, other: Quantized | None = None) -> Quantized:
            padding, stride, dilation, groups = folded.geometry
            wanted = F.conv2d(real(x), weight, folded.bias, stride, padding, dilation, groups)
            wanted = wanted if other is None else wanted + real(other)
            found = convolution(x, other)
            levels = (wanted.relu() if folded.relu else wanted) / scale + found.zero_point
            levels = levels.clamp(0, LEVELS)
            off = (found.values.double() - levels).abs()
            assert float(off.max()) <= 0.5 + self.HALF_WAY
            self.checked += 1
            return found

        return run

    def max_pool(self, x: Quantized, kernel: int, stride: int, padding: int) -> Quantized:
        return quantized_convolution.max_pool(x, kernel, stride, padding)


def real(x: Quantized) -> Tensor:
    return (x.values.double() - x.zero_point) * x.scale


@torch.no_grad()
def test_toy_features_are_those_of_rounded_real_numbers(model: MGNet) -> None:
    """Layer by layer: a sum half-way between two levels may go either way, and a comparison of
    the last layer alone would hang on how many others go with it."""
    ranges = activation_ranges(model, [images(8, 1, 28, 28)])
    quantized = quantized_backbone.quantize(model.backbone, ranges)
    arithmetic = CheckedArithmetic(ranges)
    checked = backbone_structure.features(model.backbone, arithmetic)
    for side in (28, 35):  # packed for one size, then for another
        x = images(3, 1, side, side).contiguous(memory_format=torch.channels_last)
        features = real(checked(Quantized(x, 1.0, 0))).mean(dim=(2, 3))
        torch.testing.assert_close(quantized(x).double(), features, rtol=1e-5, atol=1e-6)
    assert arithmetic.checked == 2 * 4


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mgnet_resnet18", {"glimpse_size": 48}),
        ("mgnet_resnet18", {"glimpse_size": 32, "stem_pool": False}),
        ("mgnet_resnet50", {"glimpse_size": 32}),
        ("mgnet_resnext50_32x4d", {"glimpse_size": 32}),
        ("ffnet_resnet18", {}),
    ],
)
@torch.no_grad()
def test_features_are_near_the_backbones(name: str, changes: dict[str, int | bool]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(name, **changes).eval()
    own = model.config.glimpse_size or 48
    x = images(4, 3, own, own)
    quantized = quantized_backbone.quantize(model.backbone, activation_ranges(model, [x]))
    x = x.contiguous(memory_format=torch.channels_last)
    before, exact = x.clone(), model.backbone(x)
    feature = quantized(x)
    # Random networks on noise: rounding takes 2 to 4 % of the features' length.
    assert (feature - exact).norm() <= 0.06 * exact.norm()
    assert feature.dtype == torch.float32
    assert torch.equal(x, before)


@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_with_its_image(model: MGNet, odd: float) -> None:
    scenes = images(5, 1, 112, 112)
    engine = Engine(model, precision="int8", slots=3, exit=Never(), calibration=[scenes])
    clean = engine.predict(scenes)
    scenes[2, 0, 50:60, 50:60] = odd
    results = engine.predict(scenes)
    assert [result.finite for result in results] == [True, True, False, True, True]
    for number in (0, 1, 3, 4):
        torch.testing.assert_close(results[number].logits, clean[number].logits)


def test_the_shipped_network_keeps_its_labels(model: MGNet) -> None:
    """1500 scenes: each shipped digit at three places; fitted to 128 scenes at other places."""
    digits = read_digits(*digit_paths())
    every = np.arange(500)
    sets = [TranslatedMNIST(digits, seed=seed) for seed in (101, 102, 103)]
    scenes = torch.cat([each.scenes(every) for each in sets])
    truth = torch.cat([each.labels for each in sets])
    samples = TranslatedMNIST(digits, seed=100).scenes(every[:128])
    exact = Engine(model, exit=Never())
    quantized = Engine(model, precision="int8", exit=Never(), calibration=samples.split(50))
    assert quantized.runner == "packed"
    labels, wanted = (
        engine.logits_after_each(scenes)[-1].argmax(-1) for engine in (quantized, exact)
    )
    assert (labels != wanted).sum() <= LABELS_CHANGED * len(scenes)
    right = [float((each == truth).float().mean()) for each in (labels, wanted)]
    assert right[0] >= right[1] - ACCURACY_LOST
