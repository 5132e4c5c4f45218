"""Images that enter and leave one by one."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mgnet_fast import Confidence, Engine, Never, create_model, open_image
from mgnet_fast.engine.exits import ExitDecision
from mgnet_fast.engine.schedule.image_places import StreamPlaces
from mgnet_fast.engine.schedule.open_stream import OpenStream
from mgnet_fast.models import MGNet


def _picture(number: int, height: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full((1, height, 2), number, dtype=dtype)


def _leaves_at(number: int) -> int:
    return 1 + number % 4


def _stream(scripted, slots: int, ring_bytes: int = 1 << 30) -> OpenStream:
    def logits(number: int, t: int) -> list[float]:
        return [999.0, number, 0.0] if t >= _leaves_at(number) else [0.0, t / 8, 0.0]

    runner = scripted(logits)
    return OpenStream(
        runner,
        ExitDecision(Confidence(0.9), 4, "cpu"),
        slots,
        lambda: StreamPlaces(slots, 1, runner.device, ring_bytes=ring_bytes),
        one_size=False,
    )


def test_every_image_leaves_with_its_own_result_whatever_else_comes_and_goes(scripted) -> None:
    """Forms, sizes, images too large for a place, and images that are dropped on the way."""
    chance = random.Random(0)
    stream = _stream(scripted, 5, ring_bytes=5 * 24 * 4)
    waiting = list(range(60))
    shown: dict[int, int] = {}  # the picture of each image in flight
    dropped: set[int] = set()
    found: dict[int, int] = {}
    while waiting or shown:
        while waiting and stream.free and chance.random() < 0.8:
            number = waiting.pop()
            dtype = torch.uint8 if number % 3 else torch.float32
            height = 100 if number % 7 == 0 else 2 + number % 3
            image = _picture(number, height, dtype)
            shown[stream.enter(image, every_answer=number % 2 == 0)] = number
        if shown and chance.random() < 0.2:
            away = chance.choice(list(shown))
            stream.drop(away)
            dropped.add(shown.pop(away))
        assert stream.in_flight == len(shown) == 5 - stream.free
        for number, result, answers in stream.step():
            picture = shown.pop(number)
            found[picture] = result.glimpses
            assert result.regions[1:, 0].eq(picture).all()
            assert (answers is not None) == (picture % 2 == 0)
            if answers is not None:
                assert len(answers) == result.glimpses
                assert torch.equal(answers[-1], result.logits)
                assert (8 * answers[:-1, 1]).tolist() == list(range(1, result.glimpses))
    assert dropped
    assert set(found) | dropped == set(range(60))
    assert all(glimpses == _leaves_at(picture) for picture, glimpses in found.items())


def test_an_image_that_does_not_fit_is_refused_and_the_others_stay(scripted) -> None:
    stream = _stream(scripted, 2)
    first = stream.enter(_picture(1))
    with pytest.raises(ValueError, match="1 channels, got 3"):
        stream.enter(torch.zeros(3, 2, 2))
    with pytest.raises(TypeError, match="must be a Tensor or a NumPy array"):
        stream.enter("file.png")  # type: ignore[arg-type]
    second = stream.enter(_picture(0))
    with pytest.raises(RuntimeError, match="all 2 slots"):
        stream.enter(_picture(3))
    left = [each for _ in range(2) for each in stream.step()]
    assert [each.number for each in left] == [second, first]


def test_tensors_and_files_give_the_results_of_a_stream(model: MGNet, digit_scenes: Tensor) -> None:
    scenes = digit_scenes[:6]
    files = []
    for scene in scenes:
        file = io.BytesIO()
        Image.fromarray(scene[0].numpy()).save(file, format="png")
        files.append(file.getvalue())
    engine = Engine(model, slots=4, runner="packed", exit=Confidence(0.9))
    of_pixels = engine.predict(scenes)
    of_files = engine.predict([open_image(file, 1) for file in files])
    with engine.open_stream() as stream:
        with pytest.raises(RuntimeError, match="in the middle of a stream"):
            next(engine.stream(scenes))
        for scene, file, *wanted in zip(scenes, files, of_pixels, of_files, strict=True):
            pictures = (scene, scene.permute(1, 2, 0).numpy(), open_image(file, 1))
            expected = dict(zip(map(stream.enter, pictures), (wanted[0], *wanted), strict=True))
            while stream.in_flight:
                for number, result, _ in stream.step():
                    one = expected.pop(number)
                    assert torch.equal(result.logits, one.logits)
                    assert torch.equal(result.regions, one.regions)
            assert not expected
    assert len(engine.predict(scenes[:1])) == 1


def test_networks_whose_glimpse_is_the_image_take_any_size() -> None:
    """Each size has a step of its own."""
    engine = Engine(create_model("ffnet_toy"), slots=3, runner="packed", exit=Never())
    sizes = (112, 96)
    images = [np.full((size, size, 1), 200, np.uint8) for size in sizes]
    with engine.open_stream() as stream:
        for image in images:
            stream.enter(image)
        left = {each.number: each.prediction for each in stream.step()}
    for number, image in enumerate(images):
        alone = engine.predict([image])[0]
        assert torch.equal(left[number].logits, alone.logits)
