"""The engine on the shipped toy network: the results of one image at a time, whatever the batch."""

from __future__ import annotations

import copy
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mgnet_fast
from mgnet_fast import Confidence, Engine, Entropy, Margin, Never, create_model
from mgnet_fast.engine import ExitRule
from mgnet_fast.engine.runners import choice as runner_choice
from mgnet_fast.engine.schedule.image_places import StreamPlaces
from mgnet_fast.models import MGNet

TRIED = ("eager", "channels_last", "packed")  # by auto, where no other library is installed

RULES = [Never(), Confidence(0.99), Margin(0.9), Entropy((0.05, 0.2))]


@pytest.fixture(scope="module")
def engine(model: MGNet) -> Engine:
    return Engine(model, slots=16)


@pytest.mark.parametrize(
    ("rule", "slots", "count"),
    [(Confidence(0.99), 64, 1000), *((rule, slots, 120) for rule in RULES for slots in (1, 16))],
)
def test_a_stream_is_as_one_by_one(
    model: MGNet,
    digit_scenes: Tensor,
    one_by_one: Tensor,
    exact: Tensor,
    own_error: float,
    rule: ExitRule,
    slots: int,
    count: int,
) -> None:
    """The same glimpses and labels, and logits as near to float64, whatever their neighbours.

    A region a millionth off moves the edge of a digit by 1e-4 of a pixel's range, and all that
    follows from it: the network's own float32 results, in a batch and one by one, differ by that.
    """
    which = torch.cat([torch.randperm(500, generator=seeded(n)) for n in range(2)])[:count]
    found = Engine(model, slots=slots, exit=rule).predict([digit_scenes[n] for n in which])
    assert len(found) == count
    score, steps = rule.score(one_by_one[:, which]), len(one_by_one)
    asked = rule.threshold if isinstance(rule.threshold, tuple) else (rule.threshold,)
    bars = [rule.bar(asked[min(t, len(asked) - 1)]) for t in range(steps)]
    for number, result in enumerate(found):
        leaves = [t + 1 for t in range(steps) if score[t, number] >= bars[t]]
        assert result.glimpses == min([*leaves, steps])
        assert result.regions.shape == (result.glimpses, 3)
        assert result.finite
    last = torch.tensor([result.glimpses - 1 for result in found])
    assert [result.label for result in found] == one_by_one[last, which].argmax(1).tolist()
    logits = torch.stack([result.logits for result in found])
    assert (logits - exact[last, which]).abs().max() <= 2 * own_error


def test_batches_lists_and_arrays_are_the_same_images(engine: Engine, digit_scenes: Tensor) -> None:
    scenes = digit_scenes[:40]
    wanted = [result.logits for result in engine.predict(scenes)]
    arrays = [scene.permute(1, 2, 0).numpy() for scene in scenes]
    upside_down = [np.flipud(array)[::-1] for array in arrays]
    read_only = [array.copy() for array in arrays]
    for array in read_only:
        array.flags.writeable = False
    for images in (list(scenes), arrays, upside_down, read_only):
        found = [result.logits for result in engine.predict(images)]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_images_of_different_sizes(model: MGNet, engine: Engine) -> None:
    """In a pool, each as if it were alone."""
    sizes = [(112, 112), (112, 112), (28, 28), (1, 1), (300, 40), (112, 112), (500, 700)]
    images = [
        torch.randint(0, 256, (1, *sizes[n % 7]), dtype=torch.uint8, generator=seeded(n))
        for n in range(60)
    ]
    for result, image in zip(engine.predict(images), images, strict=True):
        with torch.no_grad():
            alone = model(image[None], num_glimpses=result.glimpses)["n_logit"][-1, 0]
        torch.testing.assert_close(result.logits, alone, rtol=0, atol=1e-3)
        assert result.label == int(alone.argmax())


def test_an_image_of_300_megapixels_is_not_copied(engine: Engine, digit_scenes: Tensor) -> None:
    huge = torch.tensor([[[7]]], dtype=torch.uint8).expand(1, 15_000, 20_000)
    outside = StreamPlaces(16, 1, torch.device("cpu")).put(huge)
    assert isinstance(outside, Tensor)
    assert outside.data_ptr() == huge.data_ptr()
    before, huge_one, after = engine.predict([digit_scenes[0], huge, digit_scenes[1]])
    small = torch.full((1, 30, 40), 7, dtype=torch.uint8)
    torch.testing.assert_close(huge_one.logits, engine.predict([small])[0].logits)
    assert [before.label, after.label] == [
        result.label for result in engine.predict(digit_scenes[:2])
    ]


def test_float_images_are_taken_as_they_are(engine: Engine, digit_scenes: Tensor) -> None:
    scenes = digit_scenes[:20]
    wanted = [result.logits for result in engine.predict(scenes)]
    config = engine.model.config
    assert config.mean is not None
    assert config.std is not None
    pixels = (scenes.float() / 255 - config.mean[0]) / config.std[0]
    found = [result.logits for result in engine.predict(pixels)]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


def test_images_with_nan_are_flagged_and_never_sure(engine: Engine) -> None:
    images = torch.zeros(3, 1, 112, 112)
    images[1] = torch.nan
    results = engine.with_exit(Confidence(0.0)).predict(images)
    assert [result.finite for result in results] == [True, False, True]
    assert [result.glimpses for result in results] == [1, 3, 1]


def test_the_feed_forward_twin(digit_scenes: Tensor) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model("ffnet_toy").eval()
    scenes = digit_scenes[:10]
    with torch.no_grad():
        wanted = model(scenes)["n_logit"][-1]
    for images in (scenes, list(scenes)):
        got = torch.stack([result.logits for result in Engine(model, slots=4).predict(images)])
        torch.testing.assert_close(got, wanted)


def test_memory_is_flat(engine: Engine) -> None:
    """Images of a megabyte come and go; a fifth of them kept would be seen."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("the size of this process is read from /proc")

    def run(count: int) -> int:
        for _ in engine.stream(torch.full((1, 1024, 1024), n % 256).byte() for n in range(count)):
            pass
        return int(statm.read_text().split()[1]) * resource.getpagesize()

    first = run(40)
    assert run(400) < first + 80e6


def test_the_model_is_left_alone(model: MGNet, digit_scenes: Tensor) -> None:
    trained = copy.deepcopy(model).train()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    engine = Engine(trained, slots=4)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.zero_()
    assert trained.training
    trained.load_state_dict(before)
    wanted = [result.label for result in Engine(model, slots=4).predict(digit_scenes[:20])]
    assert [result.label for result in engine.predict(digit_scenes[:20])] == wanted


def test_one_stream_at_a_time(engine: Engine, digit_scenes: Tensor) -> None:
    stream = engine.stream(list(digit_scenes[:40]))
    next(stream)
    failures = []

    def second() -> None:
        try:
            engine.predict(digit_scenes[:2])
        except RuntimeError as error:
            failures.append(str(error))

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(30)
    assert failures == [failures[0]]
    assert "in the middle of a stream" in failures[0]
    with pytest.raises(RuntimeError, match="finish or close"):
        engine.with_exit(Never()).predict(digit_scenes[:2])
    stream.close()
    assert len(engine.predict(digit_scenes[:2])) == 2


def test_the_engine_survives_an_error(engine: Engine, digit_scenes: Tensor) -> None:
    def images() -> Iterator[Tensor]:
        yield digit_scenes[0]
        raise OSError("disk")

    stream = engine.stream(images(), read_ahead=2)
    next(stream)
    with pytest.raises(OSError, match="disk"):
        next(stream)
    assert len(engine.predict(digit_scenes[:2])) == 2


def test_a_reader_ends_with_its_stream(engine: Engine, digit_scenes: Tensor) -> None:
    def images() -> Iterator[Tensor]:
        while True:
            yield digit_scenes[0]

    stream = engine.stream(images(), read_ahead=2)
    next(stream)
    stream.close()
    readers = [t for t in threading.enumerate() if t.name == "mgnet-fast-reader"]
    for reader in readers:
        reader.join(30)
        assert not reader.is_alive()


@pytest.mark.parametrize("read_ahead", [0, 1, 100])
def test_reading_ahead_changes_nothing(
    engine: Engine, digit_scenes: Tensor, read_ahead: int
) -> None:
    wanted = [result.label for result in engine.predict(digit_scenes[:60])]
    stream = engine.stream(iter(digit_scenes[:60]), read_ahead=read_ahead)
    assert [result.label for result in stream] == wanted


def test_no_images(engine: Engine) -> None:
    assert engine.predict([]) == []
    assert engine.predict(torch.zeros(0, 1, 112, 112)) == []


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TypeError, {"model": "resnet"}, "model must be a GlimpseNetwork, got str"),
        (ValueError, {"slots": 0}, "slots must be at least 1, got 0"),
        (TypeError, {"slots": 2.0}, "slots must be an int, got 2.0"),
        (ValueError, {"runner": "fastest"}, "runner must be one of auto, .*got 'fastest'"),
        (ValueError, {"precision": "int3"}, "precision must be one of fp32.*got 'int3'"),
        (ValueError, {"weights": "int4"}, "weights must be one of fp32, fp16, int8, got 'int4'"),
        (
            ValueError,
            {"weights": "int8", "precision": "bf16"},
            "weights 'int8' go with precision 'fp32'.*got 'bf16'",
        ),
        (
            ValueError,
            {"artefact": "step.onnx"},
            "runner must be 'onnxruntime' or 'tensorrt' for an artefact, got 'auto'",
        ),
        (
            ValueError,
            {"artefact": "a.onnx", "runner": "packed"},
            "'packed' cannot run: it loads no",
        ),
        (ValueError, {"calibration": []}, "calibration must hold at least one image"),
        (TypeError, {"exit": 0.9}, "exit must be an exit rule such as .*, got float"),
        (ValueError, {"exit": Never(max_glimpses=5)}, "at most the network's 3 glimpses, got 5"),
    ],
)
def test_wrong_arguments(model: MGNet, kind: type[Exception], options: dict, message: str) -> None:
    with pytest.raises(kind, match=message):
        Engine(**{"model": model, **options})


@pytest.mark.parametrize(
    ("kind", "images", "message"),
    [
        (ValueError, torch.zeros(1, 112, 112), r"images must have shape \[B, 1, H, W\]"),
        (ValueError, torch.zeros(2, 3, 8, 8), r"images must have shape \[B, 1, H, W\]"),
        (TypeError, torch.zeros(2, 1, 8, 8, dtype=torch.int32), "images must have dtype float"),
        (TypeError, 3, "images must be a Tensor or an iterable of images, got int"),
    ],
)
def test_wrong_images(engine: Engine, kind: type[Exception], images, message: str) -> None:
    with pytest.raises(kind, match=message):
        engine.stream(images)


@pytest.mark.parametrize("runner", TRIED)
def test_every_runner_that_is_offered_works(
    model: MGNet, digit_scenes: Tensor, one_by_one: Tensor, runner: str
) -> None:
    engine = Engine(model, slots=8, runner=runner, exit=Never())
    assert (engine.runner, engine.reason) == (runner, "asked for")
    labels = [result.label for result in engine.predict(digit_scenes[:50])]
    assert labels == one_by_one[-1, :50].argmax(1).tolist()


def test_auto_takes_the_fastest_and_says_so(model: MGNet, monkeypatch: pytest.MonkeyPatch) -> None:
    for fastest in range(len(TRIED)):
        seconds = [float(place != fastest) for place in range(len(TRIED))]
        monkeypatch.setattr(runner_choice, "median_step_seconds", lambda *_, taken=seconds: taken)
        engine = Engine(model, slots=3)
        assert engine.runner == TRIED[fastest]
        assert f"{TRIED[fastest]} 0.00 ms" in engine.reason
        assert engine.reason.endswith("for a step of 3 slots on cpu")
        assert engine.runner in repr(engine)


def test_no_compiler_is_started(model: MGNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile(*_: object, **__: object) -> None:
        raise AssertionError("torch.compile was called")

    monkeypatch.setattr(torch, "compile", compile)
    assert Engine(model, slots=2).predict(torch.zeros(2, 1, 112, 112))[0].finite


def test_the_names_are_there_at_the_top() -> None:
    assert mgnet_fast.Engine is Engine


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)
