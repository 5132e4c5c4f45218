"""The compiled runner: the answers of the eager one, and one compilation for every stream."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from mgnet_fast import Confidence, Engine, Never
from mgnet_fast.models import MGNet


@pytest.fixture(scope="module")
def engine(model: MGNet) -> Engine:
    return Engine(model, slots=8, runner="compiled", exit=Never())


def test_predictions_are_the_eager_runners(
    engine: Engine, model: MGNet, digit_scenes: Tensor
) -> None:
    expected = Engine(model, slots=8, runner="eager", exit=Never()).predict(digit_scenes[:20])
    for one, other in zip(engine.predict(digit_scenes[:20]), expected, strict=True):
        assert one.label == other.label
        torch.testing.assert_close(one.logits, other.logits, atol=2e-3, rtol=0)
        torch.testing.assert_close(one.regions, other.regions, atol=1e-4, rtol=0)


def test_no_stream_is_compiled_for(engine: Engine, digit_scenes: Tensor) -> None:
    """Any number of images, of any sizes, dtypes and layouts, with exits and without."""
    small = [torch.rand(1, 40 + n, 50) for n in range(11)]
    data = [digit_scenes[:13], digit_scenes[:9].float(), small, small[:1]]
    before = counters["stats"]["unique_graphs"]
    for images in data:
        for rule in (Never(), Confidence(0.9)):
            assert len(engine.with_exit(rule).predict(images)) == len(images)
    engine.logits_after_each(digit_scenes[:9])
    assert counters["stats"]["unique_graphs"] == before
    assert not counters["graph_break"]


def test_nan_stays_with_its_image(engine: Engine, digit_scenes: Tensor) -> None:
    images = digit_scenes[:3].float()
    images[1, 0, 50, 50] = torch.nan
    assert [result.finite for result in engine.predict(images)] == [True, False, True]


def test_without_a_compiler_it_is_refused(model: MGNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler, but there is no no-such-compil"):
        Engine(model, runner="compiled")
