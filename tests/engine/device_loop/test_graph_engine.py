"""An engine whose steps decide for themselves, without a GPU: the step is called, not replayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest
import torch
from support.loops import LateSteps
from torch import Tensor

from mgnet_fast import Confidence, Engine, Entropy, Margin, Never, Prediction, create_model
from mgnet_fast.engine import ExitRule
from mgnet_fast.engine.device_loop.device import Program
from mgnet_fast.engine.runners import choice as runner_choice
from mgnet_fast.engine.runners.cudagraph import CudaGraphRunner, folded_runner
from mgnet_fast.engine.runners.kind import RunnerKind, RunnerRequest
from mgnet_fast.models import MGNet


class CountedCaptures(LateSteps):
    captured: ClassVar[list[str]] = []

    def capture(self, program: Program, what: str) -> Program:
        self.captured.append(what)
        return super().capture(program, what)


def _build(request: RunnerRequest) -> CudaGraphRunner:
    return CudaGraphRunner(folded_runner(request), request.slots, CountedCaptures)


@pytest.fixture(autouse=True)
def captured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    kind = RunnerKind("called", ("fp32",), lambda request: None, _build, is_tried=False)
    monkeypatch.setattr(runner_choice, "KINDS", (*runner_choice.KINDS, kind))
    CountedCaptures.captured.clear()
    return CountedCaptures.captured


@pytest.fixture
def engine(model: MGNet) -> Engine:
    return Engine(model, slots=8, runner="called")


def assert_same(found: list[Prediction], wanted: list[Prediction], limit: float) -> None:
    assert [each.label for each in found] == [each.label for each in wanted]
    assert [each.glimpses for each in found] == [each.glimpses for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=limit)
        torch.testing.assert_close(one.regions, other.regions, rtol=0, atol=limit)


@pytest.mark.parametrize("rule", [Never(), Confidence(0.99), Margin(0.9), Entropy((0.05, 0.2))])
@pytest.mark.parametrize("slots", [1, 16])
def test_the_results_of_the_loop_of_the_host(
    model: MGNet, digit_scenes: Tensor, own_error: float, rule: ExitRule, slots: int
) -> None:
    scenes = digit_scenes[: 6 + 2 * slots]
    wanted = Engine(model, slots=slots, runner="eager", exit=rule).predict(list(scenes))
    graph = Engine(model, slots=slots, runner="called", exit=rule)
    for images in (list(scenes), scenes, [scene.permute(1, 2, 0).numpy() for scene in scenes]):
        assert_same(graph.predict(images), wanted, 2 * own_error)


def test_captured_once_for_all_streams_of_like_images(
    engine: Engine, digit_scenes: Tensor, captured: list[str]
) -> None:
    other = engine.with_exit(Never())
    for _ in range(2):
        for each in (engine, other):
            each.predict(digit_scenes[:20])
            each.predict(list(digit_scenes[:20]))
    wanted = "the engine's step, 8 slots, uint8 images of shape [1, 112, 112],"
    assert captured == [wanted, wanted]
    engine.predict(torch.zeros(3, 1, 50, 60))
    assert captured[2:] == ["the engine's step, 8 slots, float32 images of shape [1, 50, 60],"]
    engine.predict(digit_scenes[:20])
    assert len(captured) == 4


def test_images_of_different_sizes(model: MGNet, engine: Engine, captured: list[str]) -> None:
    """Captured again only where the images move: into a ring, and into a larger one."""
    sizes = [(112, 112), (112, 112), (28, 28), (1, 1), (300, 40), (112, 112), (500, 700)]
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randint(0, 256, (1, *sizes[n % 7]), dtype=torch.uint8, generator=generator)
        for n in range(60)
    ]
    wanted = Engine(model, slots=8, runner="eager").predict(images)
    for _ in range(2):
        assert_same(engine.predict(images), wanted, 1e-3)
    assert len(captured) <= 3
    assert "images of several sizes (which needs Triton) in 17 places" in captured[-1]


def test_a_stream_that_is_left_half_way(engine: Engine, digit_scenes: Tensor) -> None:
    wanted = engine.predict(digit_scenes[:30])
    for images in (digit_scenes[:30], list(digit_scenes[:30])):
        stream = engine.stream(images)
        for _ in range(7):
            next(stream)
        stream.close()
        assert_same(engine.predict(images), wanted, 1e-4)


@pytest.mark.parametrize("read_ahead", [0, 4])
def test_what_the_source_raises_comes_last(
    engine: Engine, digit_scenes: Tensor, read_ahead: int
) -> None:
    def images() -> Iterator[Tensor]:
        yield from digit_scenes[:21]
        raise KeyboardInterrupt

    stream = engine.stream(images(), read_ahead=read_ahead)
    found = [next(stream) for _ in range(21)]
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert_same(found, engine.predict(digit_scenes[:21]), 1e-4)


def test_images_with_nan_are_flagged_and_never_sure(engine: Engine) -> None:
    images = torch.zeros(30, 1, 112, 112)
    images[11] = torch.nan
    results = engine.with_exit(Confidence(0.0)).predict(images)
    assert [n for n, result in enumerate(results) if not result.finite] == [11]
    assert [result.glimpses for result in results] == [3 if n == 11 else 1 for n in range(30)]


def test_the_feed_forward_twin(digit_scenes: Tensor) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model("ffnet_toy").eval()
    engine = Engine(model, slots=4, runner="called")
    with torch.no_grad():
        wanted = model(digit_scenes[:10])["n_logit"][-1]
    for images in (digit_scenes[:10], list(digit_scenes[:10])):
        got = torch.stack([result.logits for result in engine.predict(images)])
        torch.testing.assert_close(got, wanted)
    with pytest.raises(ValueError, match="as the network has no glimpse_size"):
        engine.predict([digit_scenes[0], digit_scenes[0][:, :50]])
    assert len(engine.predict([digit_scenes[0][:, :50]] * 3)) == 3


def test_an_image_too_large_for_a_place(model: MGNet, digit_scenes: Tensor) -> None:
    engine = Engine(model, slots=4, runner="called")
    large = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(1, 15_000, 20_000)
    images = [digit_scenes[0], large, digit_scenes[1], large, large]
    wanted = Engine(model, slots=4, runner="eager").predict(images)
    assert_same(engine.predict(images), wanted, 1e-4)


def test_a_second_stream_is_refused(engine: Engine, digit_scenes: Tensor) -> None:
    stream = engine.stream(digit_scenes[:30])
    next(stream)
    with pytest.raises(RuntimeError, match="in the middle of a stream"):
        engine.predict(digit_scenes[:2])
    stream.close()


def test_not_without_a_gpu(model: MGNet) -> None:
    with pytest.raises(
        ValueError,
        match="'cudagraph' cannot run: it captures CUDA graphs, which needs a CUDA device, got cpu",
    ):
        Engine(model, runner="cudagraph")
