"""The scheduler, with a runner whose logits are scripted and whose tokens tell their image."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from support.loops import LOOPS, Loop, host_loop
from torch import Tensor

from mgnet_fast import Confidence, Never, Prediction
from mgnet_fast.engine.exits import ExitDecision, ExitRule
from mgnet_fast.engine.schedule.read_ahead import ReadAhead, Source

Run = Callable[..., Iterator[Prediction]]


def leaving_at(*glimpses: int):
    """A script by which image n leaves after ``glimpses[n % len(glimpses)]``."""

    def logits(number: int, t: int) -> list[float]:
        return [999.0, number, 0.0] if t >= glimpses[number % len(glimpses)] else [0.0, 0.0, 0.0]

    return logits


def picture(number: int, height: int = 2, width: int = 2) -> Tensor:
    return torch.full((1, height, width), float(number))


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    return LOOPS[request.param]


@pytest.fixture
def run(loop: Loop) -> Run:
    return partial(_run, loop)


def _run(
    loop: Loop,
    runner,
    images: Iterable[Tensor],
    slots: int,
    rule: ExitRule | None = None,
    **options,
) -> Iterator[Prediction]:
    decision = ExitDecision(rule or Confidence(0.9), runner.config.num_glimpses, "cpu")
    return loop(runner, decision, slots, Source(images), **options)


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 16, 40])
def test_order_is_kept_and_tokens_do_not_leak(run: Run, scripted, slots: int) -> None:
    """Whatever t images leave at; the runner checks each slot's tokens, and memory is poisoned."""
    glimpses = random.Random(slots).choices([1, 2, 3, 4], k=37)
    runner = scripted(leaving_at(*glimpses))
    found = list(run(runner, map(picture, range(37)), slots))
    assert [result.glimpses for result in found] == glimpses
    assert [result.logits[1].item() for result in found] == list(range(37))
    for number, result in enumerate(found):
        later = [[number, t, 0] for t in range(2, result.glimpses + 1)]
        assert result.regions.tolist() == [[1, 0, 0], *later]
    assert sorted(set(runner.seen)) == [
        (number, t) for number in range(37) for t in range(1, glimpses[number] + 1)
    ]


def test_free_slots_are_filled_at_once(run: Run, scripted) -> None:
    """Every step but the last few is full, though images leave one by one."""
    runner = scripted(leaving_at(1, 2, 3, 4))
    list(run(runner, map(picture, range(80)), 8))
    busy = [count for count in runner.busy if count]
    assert sum(busy) == 2.5 * 80
    assert busy[:22] == [8] * 22


def test_idle_slots_are_not_run(scripted) -> None:
    runner = scripted(leaving_at(3))
    list(_run(host_loop, runner, map(picture, range(5)), 8))
    assert runner.rows == [5, 5, 5]


def test_few_shapes_occur(scripted) -> None:
    """With many slots, rows are rounded up, so that the end of a stream brings no new shapes."""
    runner = scripted(leaving_at(1, 2, 3, 4))
    list(_run(host_loop, runner, map(picture, range(300)), 64))
    assert {rows % 8 for rows in runner.rows} == {0}


def test_images_are_taken_as_slots_become_free(run: Run, scripted) -> None:
    """No more are in memory than two for each slot, and results that wait for one before them."""
    taken = []

    def images() -> Iterator[Tensor]:
        for number in itertools.count():
            taken.append(number)
            yield picture(number)

    runner = scripted(leaving_at(4, 1, 1, 1))
    results = run(runner, images(), 4)
    for done in range(1, 40):
        next(results)
        assert len(taken) <= done + 4 * (runner.config.num_glimpses + 1)
    results.close()


def test_images_of_different_sizes(run: Run, scripted) -> None:
    sizes = [(2, 2), (2, 2), (3, 5), (1, 1), (40, 30), (2, 2), (7, 1), (64, 64)]
    images = [picture(n, *sizes[n % len(sizes)]) for n in range(50)]
    runner = scripted(leaving_at(2, 1, 4, 3, 1))
    found = list(run(runner, images, 6))
    assert [result.regions.tolist()[1:] for result in found] == [
        [[n, t, 0] for t in range(2, (2, 1, 4, 3, 1)[n % 5] + 1)] for n in range(50)
    ]


def test_images_too_large_to_copy_are_looked_at_where_they_are(run: Run, scripted) -> None:
    """Alone in a step; a ring of 6 places and 24 numbers each does not grow for them."""
    sizes = [(2, 2), (100, 100), (4, 6), (100, 100), (100, 100)]
    images = [picture(n, *sizes[n % 5]) for n in range(40)]
    images += [picture(n, 9, 9) for n in range(40, 60)]
    runner = scripted(leaving_at(2, 1, 4, 3, 1, 2, 2))
    found = list(run(runner, images, 6, ring_bytes=6 * 24 * 4))
    wanted = [(2, 1, 4, 3, 1, 2, 2)[n % 7] for n in range(60)]
    assert [result.glimpses for result in found] == wanted
    assert all(result.regions[1:, 0].eq(n).all() for n, result in enumerate(found))


@pytest.mark.parametrize("ring_bytes", [1 << 30, 1])
def test_a_batch(loop: Loop, scripted, ring_bytes: int) -> None:
    """Without room for copies, too; the host's loop reads it in place."""
    batch = torch.stack([picture(n) for n in range(9)])
    runner = scripted(leaving_at(1, 3))
    decision = ExitDecision(Confidence(0.9), 4, "cpu")
    found = list(loop(runner, decision, 4, Source(range(9)), batch, ring_bytes=ring_bytes))
    assert [result.glimpses for result in found] == [1, 3, 1, 3, 1, 3, 1, 3, 1]
    assert [result.logits[1].item() for result in found] == list(range(9))


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
@pytest.mark.parametrize("read_ahead", [0, 3])
def test_what_the_source_raises_comes_after_the_results(
    loop: Loop, scripted, error: BaseException, read_ahead: int
) -> None:
    def images() -> Iterator[Tensor]:
        yield from map(picture, range(11))
        raise error

    runner = scripted(leaving_at(4, 1))
    source = ReadAhead(images(), read_ahead) if read_ahead else Source(images())
    decision = ExitDecision(Confidence(0.9), 4, "cpu")
    results = loop(runner, decision, 4, source)
    found = [next(results) for _ in range(11)]
    with pytest.raises(type(error)) as raised:
        next(results)
    assert raised.value is error
    assert [result.glimpses for result in found] == [4, 1] * 5 + [4]


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (
            torch.zeros(2, 2),
            ValueError,
            r"image 3 of the stream: image must have shape \[C, H, W\]",
        ),
        (torch.zeros(3, 2, 2), ValueError, "must have the pool's 1 channels, got 3"),
        (torch.zeros(1, 2, 2).byte(), TypeError, "dtype float32, got uint8"),
        (torch.zeros(1, 0, 2), ValueError, "no empty axis"),
        ("file.png", TypeError, "must be a Tensor or a NumPy array"),
        (None, TypeError, "must be a Tensor or a NumPy array"),
    ],
)
def test_an_image_that_does_not_fit(run: Run, scripted, wrong, kind, message: str) -> None:
    """The results of those before come first."""
    images = [picture(0), picture(1), picture(2), wrong, picture(4)]
    results = run(scripted(leaving_at(3, 1)), images, 2)
    assert [next(results).glimpses for _ in range(3)] == [3, 1, 3]
    with pytest.raises(kind, match=message):
        next(results)


def test_networks_without_a_glimpse_size_take_images_of_one_size(run: Run, scripted) -> None:
    runner = scripted(leaving_at(1), num_glimpses=1)
    runner.config = replace(runner.config, glimpse_size=None)
    results = run(runner, [picture(0), picture(1, 3, 3)], 1)
    next(results)
    with pytest.raises(ValueError, match=r"size \[2, 2\] of those before.*got \[3, 3\]"):
        next(results)


def test_an_empty_stream(run: Run, scripted) -> None:
    runner = scripted(leaving_at(1))
    assert list(run(runner, [], 3)) == []
    assert runner.rows == []


def test_logits_that_are_not_finite_are_flagged(run: Run, scripted) -> None:
    def logits(number: int, t: int) -> list[float]:
        return [torch.nan, 0.0, 0.0] if number == 1 else [9.0, 0.0, 0.0]

    first, second, third = run(scripted(logits), map(picture, range(3)), 2)
    assert (first.glimpses, first.finite) == (1, True)
    assert (second.glimpses, second.finite) == (4, False)
    assert (third.glimpses, third.finite) == (1, True)


def test_results_are_ordinary_tensors(run: Run, scripted) -> None:
    """Not of inference mode, which autograd refuses to save."""
    (result,) = run(scripted(leaving_at(2)), [picture(0)], 1)
    assert not result.logits.is_inference()
    assert not result.regions.is_inference()


def test_a_slow_source_does_not_hold_up_what_is_there(loop: Loop, scripted) -> None:
    """With a reader of its own, images are stepped while the next one is awaited."""
    asked, given = threading.Event(), threading.Event()

    def images() -> Iterator[Tensor]:
        yield picture(0)
        asked.set()
        given.wait(30)
        yield picture(1)

    runner = scripted(leaving_at(2))
    decision = ExitDecision(Never(), 4, "cpu")
    source = ReadAhead(images(), 4)
    results = loop(runner, decision, 4, source)
    assert next(results).glimpses == 4
    assert asked.wait(30)
    given.set()
    assert next(results).glimpses == 4
