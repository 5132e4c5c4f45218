"""The engine on the device: a step that decides for itself, replayed, against the host's loop."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from mgnet_fast import Confidence, Engine, Never, Prediction, create_model
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.engine import ExitRule
from mgnet_fast.engine.device_loop.device import CalledSteps
from mgnet_fast.engine.device_loop.step import GraphStep
from mgnet_fast.engine.exits import ExitDecision
from mgnet_fast.engine.runners import choice as runner_choice
from mgnet_fast.engine.runners.cudagraph import CudaGraphRunner, folded_runner
from mgnet_fast.engine.runners.kind import RunnerKind, RunnerRequest
from mgnet_fast.engine.runners.plain import PlainRunner
from mgnet_fast.models import MGNet
from mgnet_fast.ops.backends import choice as backends

LIMIT = 1e-3  # regions a millionth apart move the edges of digits


@pytest.fixture(scope="module")
def model() -> MGNet:
    return load_model()


@pytest.fixture(scope="module")
def scenes() -> Tensor:
    return load_scenes().scenes(np.arange(60))


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    """TF32 is no float32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def graph_runner(device: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The runner whose steps are a graph; on the CPU, whose steps are called."""
    if device == "cuda":
        return "cudagraph"

    def build(request: RunnerRequest) -> CudaGraphRunner:
        return CudaGraphRunner(folded_runner(request), request.slots, CalledSteps)

    kind = RunnerKind("called", ("fp32", "bf16"), lambda request: None, build)
    monkeypatch.setattr(runner_choice, "KINDS", (*runner_choice.KINDS, kind))
    return "called"


def assert_same(found: list[Prediction], wanted: list[Prediction]) -> None:
    assert [each.label for each in found] == [each.label for each in wanted]
    assert [each.glimpses for each in found] == [each.glimpses for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=LIMIT)
        torch.testing.assert_close(one.regions, other.regions, rtol=0, atol=LIMIT)


@pytest.mark.parametrize("slots", [1, 16])
@pytest.mark.parametrize("rule", [Never(), Confidence(0.99)])
def test_memcheck_the_results_of_the_eager_runner(
    device: str, graph_runner: str, model: MGNet, scenes: Tensor, rule: ExitRule, slots: int
) -> None:
    scenes = scenes[: 6 + 3 * slots]
    wanted = Engine(model, slots=16, runner="eager", exit=rule).predict(scenes)
    plain = Engine(model, device, slots=slots, runner="channels_last", exit=rule)
    graph = Engine(model, device, slots=slots, runner=graph_runner, exit=rule)
    for engine in (plain, graph):
        for images in (scenes, list(scenes), scenes.to(device)):
            assert_same(engine.predict(images), wanted)


def test_replayed_with_other_images(
    device: str, graph_runner: str, model: MGNet, scenes: Tensor
) -> None:
    """In the same memory, by the same graphs, in turn with another exit rule."""
    graph = Engine(model, device, slots=8, runner=graph_runner)
    host = Engine(model, slots=8, runner="eager")
    for first in (0, 20, 40):
        images = scenes[first : first + 20]
        for rule in (Never(), Confidence(0.99)):
            wanted = host.with_exit(rule).predict(images)
            assert_same(graph.with_exit(rule).predict(images), wanted)


def test_a_stream_left_half_way(
    device: str, graph_runner: str, model: MGNet, scenes: Tensor
) -> None:
    graph = Engine(model, device, slots=8, runner=graph_runner)
    wanted = graph.predict(scenes)
    stream = graph.stream(list(scenes))
    for _ in range(11):
        next(stream)
    stream.close()
    assert_same(graph.predict(scenes), wanted)


def test_images_of_different_sizes(device: str, graph_runner: str, model: MGNet) -> None:
    if backends.choose(device, None, pool=True) == "reference":
        pytest.skip(f"the reference reads a pool's table on the host, and nothing else on {device}")
    sizes = [(112, 112), (28, 28), (1, 1), (300, 40), (112, 112), (200, 210)]
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randint(0, 256, (1, *sizes[n % 6]), dtype=torch.uint8, generator=generator)
        for n in range(40)
    ]
    wanted = Engine(model, slots=8, runner="eager").predict(images)
    graph = Engine(model, device, slots=8, runner=graph_runner)
    for _ in range(2):
        assert_same(graph.predict(images), wanted)


def test_nan_is_flagged_and_never_sure(device: str, graph_runner: str, model: MGNet) -> None:
    images = torch.zeros(30, 1, 112, 112)
    images[11] = torch.nan
    graph = Engine(model, device, slots=8, runner=graph_runner, exit=Confidence(0.0))
    results = graph.predict(images)
    assert [n for n, result in enumerate(results) if not result.finite] == [11]
    assert [result.glimpses for result in results] == [3 if n == 11 else 1 for n in range(30)]


def test_lower_precision(device: str, graph_runner: str, model: MGNet, scenes: Tensor) -> None:
    plain = Engine(model, device, "bf16", slots=8, runner="channels_last", exit=Never())
    graph = Engine(model, device, "bf16", slots=8, runner=graph_runner, exit=Never())
    wanted = plain.predict(scenes[:20])
    found = graph.predict(scenes[:20])
    exact = Engine(model, slots=8, runner="eager", exit=Never()).predict(scenes[:20])
    for one, other, sure in zip(found, wanted, exact, strict=True):
        allowed = 2 * float((other.logits - sure.logits).abs().max()) + 0.1
        assert (one.logits - sure.logits).abs().max() <= allowed


def test_the_feed_forward_twin(device: str, graph_runner: str, scenes: Tensor) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model("ffnet_toy").eval()
    wanted = Engine(model, slots=8, runner="eager").predict(scenes[:20])
    graph = Engine(model, device, slots=8, runner=graph_runner)
    assert_same(graph.predict(scenes[:20]), wanted)


def test_a_step_waits_for_nothing(device: str, model: MGNet, scenes: Tensor) -> None:
    if device != "cuda":
        pytest.skip("torch tells of waits for CUDA devices only")
    step = GraphStep(PlainRunner(copy.deepcopy(model).to(device)), 4)
    images, decision = scenes[:9].to(device), ExitDecision(Confidence(0.9), 3, device)
    step(images, decision)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(images, decision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
