"""What an engine says about its own rounding, and which calibration images it takes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast import Deviation, Engine, MGNet, Never, create_model
from mgnet_fast.engine.deviation import DeviationSum
from mgnet_fast.engine.runners import choice
from mgnet_fast.engine.runners.eager import EAGER

T, K = 3, 10


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_is_what_the_results_differ_by(
    model: MGNet, digit_scenes: Tensor, precision: str
) -> None:
    scenes = digit_scenes[:30]
    engine = Engine(
        model, precision=precision, slots=7, exit=Never(), calibration=[scenes[:20], scenes[20:]]
    )
    found = engine.deviation
    assert found is not None
    with torch.no_grad():
        wanted = model(scenes)
    results = engine.predict(scenes)
    logits = torch.stack([result.logits for result in results])
    regions = torch.stack([result.regions for result in results], dim=1)
    largest = float(wanted["n_logit"].abs().max())
    regions_off = (regions - wanted["n_affparam"]).abs()
    every = (engine.logits_after_each(scenes) - wanted["n_logit"]).abs() / largest
    changed = int((logits.argmax(1) != wanted["n_logit"][-1].argmax(1)).sum())
    assert (found.images, found.labels_changed) == (30, changed)
    # The network's own float32 sums depend on how many images it sees together.
    close = {"rel": 0.05, "abs": 1e-5}
    assert found.largest_logit == pytest.approx(largest, rel=1e-4)
    assert found.logit_max == pytest.approx(float(every.max()), **close)
    assert found.logit_mean == pytest.approx(float(every.mean()), **close)
    assert found.region_max == pytest.approx(float(regions_off.max()), **close)
    assert found.region_mean == pytest.approx(float(regions_off.mean()), **close)


def test_without_calibration_there_is_none(model: MGNet) -> None:
    assert Engine(model).deviation is None


def test_in_words() -> None:
    found = Deviation(200, 25.0, 0.125, 0.0041, 0.05, 0.0012, 1)
    assert str(found) == (
        "over 200 images, 1 label changed (0.5 %); logits differ by 0.41 % of the largest on "
        "average, 12 % at most, regions by 0.0012 on average, 0.05 at most"
    )
    assert str(Deviation(1, 25.0, 0.0, 0.0, 0.0, 0.0, 0)).startswith(
        "over 1 image, 0 labels changed (0 %); "
    )


def test_nan_is_not_lost() -> None:
    logits, regions = torch.ones(T, 2, K), torch.zeros(T, 2, 3)
    odd = logits.clone()
    odd[1, 0, 3] = torch.nan
    total = DeviationSum()
    total.add(odd, regions, logits, regions)
    total.add(logits, regions, logits, regions)
    found = total.result()
    assert found.logit_max != found.logit_max
    assert found.logit_mean != found.logit_mean
    assert found.region_max == 0
    with pytest.raises(ValueError, match="at least one image"):
        DeviationSum().result()


class Once:
    """Image batches that can be gone through a single time."""

    def __init__(self, batches: list[Tensor]) -> None:
        self.batches = batches
        self.times = 0

    def __iter__(self) -> Iterator[Tensor]:
        self.times += 1
        assert self.times == 1
        return iter(self.batches)


def test_calibration_is_gone_through_once(digit_scenes: Tensor) -> None:
    model = create_model("mgnet_toy", pretrained=True, num_glimpses=1).eval()
    scenes = digit_scenes[:8]
    ways = (Once([scenes]), (scenes[k : k + 3] for k in (0, 3, 6)), [scenes, scenes[:0]], scenes)
    for way in ways:
        found = Engine(model, runner="packed", calibration=way).deviation
        assert found is not None
        assert (found.images, found.logit_mean < 1e-6) == (8, True)


def blank(*shape: int, value: float = 0.0) -> Tensor:
    return torch.full(shape, value)


@pytest.mark.parametrize(
    ("kind", "calibration", "message"),
    [
        (TypeError, 3, "calibration must be an iterable of image batches .*got int"),
        (ValueError, [], "calibration must hold at least one image, got none"),
        (ValueError, [blank(0, 1, 40, 40)], "calibration must hold at least one image, got none"),
        (TypeError, [[1.0]], r"must give Tensors \[B, 1, H, W\], got list as batch 0"),
        (ValueError, [blank(2, 3, 40, 40)], r"calibration, batch 0: .*shape \[B, 1, H, W\]"),
        (ValueError, [blank(2, 1, 40, 40), blank(1, 40, 40)], "calibration, batch 1: .*shape"),
        (TypeError, [blank(2, 1, 40, 40).long()], "calibration, batch 0: .*dtype"),
        (ValueError, [blank(2, 1, 40, 40, value=torch.nan)], "must be finite, got NaN or inf.* 0"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])  # checked before int8 is refused
def test_bad_calibration(
    model: MGNet, precision: str, kind: type[Exception], calibration: object, message: str
) -> None:
    with pytest.raises(kind, match=message):
        Engine(model, precision=precision, calibration=calibration)  # type: ignore[arg-type]


@pytest.mark.parametrize("runner", ["eager", "channels_last", "packed"])
def test_a_runner_that_does_not_run_in_int8(model: MGNet, runner: str) -> None:
    with pytest.raises(ValueError, match=rf"'{runner}' cannot run: .*not in int8 \(which openvino"):
        Engine(model, precision="int8", runner=runner, calibration=[blank(1, 1, 40, 40)])


@pytest.mark.parametrize(("tolerance", "is_rounded"), [(1e-9, False), (100.0, True)])
def test_auto_rounds_only_within_its_tolerance(
    model: MGNet,
    digit_scenes: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    tolerance: float,
    is_rounded: bool,
) -> None:
    def slowest_first(runners: Sequence[object], rows: int) -> list[float]:
        return [float(len(runners) - place) for place in range(len(runners))]

    monkeypatch.setattr(choice, "KINDS", [EAGER])  # its last variant is fp16
    monkeypatch.setattr(choice, "median_step_seconds", slowest_first)
    engine = Engine(model, slots=4, calibration=digit_scenes[:8], tolerance=tolerance)
    assert (engine.precision, engine.weights) == ("fp16" if is_rounded else "fp32", "fp32")
    assert engine.deviation is not None
    assert engine.deviation.logit_max <= max(tolerance, 1e-5)
    assert ("eager in fp16 is off by" in engine.reason) is not is_rounded
    assert pickle.loads(pickle.dumps(engine)).precision == engine.precision


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tolerance": 0.0}, "tolerance must be a positive number"),
        ({"tolerance": float("nan")}, "tolerance must be a positive number"),
        ({"runner": "eager"}, "tolerance is for runner 'auto', which chooses by it, got 'eager'"),
        ({"precision": "bf16"}, "both must be 'fp32', got 'bf16' and 'fp32'"),
        ({"weights": "fp16"}, "both must be 'fp32', got 'fp32' and 'fp16'"),
        ({"calibration": None}, "tolerance needs calibration"),
    ],
)
def test_a_tolerance_that_decides_nothing(
    model: MGNet, digit_scenes: Tensor, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Engine(model, **{"tolerance": 0.1, "calibration": digit_scenes[:2], **given})
