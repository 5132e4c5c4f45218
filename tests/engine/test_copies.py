"""Engines are pickled, sent to other processes and deep-copied."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import pytest
import torch
from support.networks.four_quarters import FourQuarters
from torch import Tensor

from mgnet_fast import Confidence, Engine, Margin, create_model
from mgnet_fast.engine import Prediction
from mgnet_fast.engine.convolutions import native_convolution


def _same(first: list[Prediction], second: list[Prediction]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.logits, b.logits)
        and torch.equal(a.regions, b.regions)
        and a.glimpses == b.glimpses
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def scenes() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (12, 1, 112, 112), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("runner", "precision", "weights"),
    [("eager", "fp32", "fp32"), ("channels_last", "fp32", "fp32"), ("packed", "fp32", "fp32"),
     ("eager", "bf16", "fp32"), ("auto", "fp32", "fp32"),
     ("packed", "fp32", "fp16")],
)  # fmt: skip
def test_copies_have_the_same_bits(
    scenes: Tensor, runner: str, precision: str, weights: str
) -> None:
    if weights != "fp32" and native_convolution.refusal() is not None:
        pytest.skip(str(native_convolution.refusal()))
    model = create_model("mgnet_toy", pretrained=True).eval()
    engine = Engine(
        model, precision=precision, runner=runner, slots=4, calibration=scenes[:6],
        exit=Margin(0.5), weights=weights,
    )  # fmt: skip
    wanted = engine.predict(scenes)
    for other in (pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)):
        assert (other.runner, other.reason, other.precision, other.weights) == (
            engine.runner, engine.reason, precision, weights,
        )  # fmt: skip
        assert other.deviation == engine.deviation
        assert other.exit == engine.exit
        assert _same(other.predict(scenes), wanted)
        assert other.model is not engine.model


def test_an_engine_goes_to_a_new_process(scenes: Tensor) -> None:
    model = create_model("mgnet_toy", pretrained=True).eval()
    engine = Engine(model, runner="packed", slots=4).with_exit(Confidence(0.6))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(engine.predict, (scenes,))
    assert _same(found, engine.predict(scenes))


def test_an_engine_in_the_middle_of_a_stream_is_copied_without_it(scenes: Tensor) -> None:
    engine = Engine(create_model("mgnet_toy").eval(), runner="eager", slots=2)
    stream = engine.stream(scenes)
    next(stream)
    other = copy.deepcopy(engine)
    assert len(other.predict(scenes)) == len(scenes)
    stream.close()


def test_an_engine_of_another_network_is_copied(scenes: Tensor) -> None:
    engine = Engine(FourQuarters().eval(), slots=3)
    assert _same(pickle.loads(pickle.dumps(engine)).predict(scenes), engine.predict(scenes))
