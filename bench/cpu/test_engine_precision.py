"""The engine in lower precision with all glimpses, against the published algorithm.

The networks are random, so labels mean nothing; parity is the mean deviation of a logit from
float32, relative to the largest.
"""

from __future__ import annotations

import time

import pytest
import torch

from bench.conftest import Versus
from bench.cpu.engine_cases import network, photos, slots_in_words
from mgnet_fast import Engine, Never
from mgnet_fast.engine.convolutions import packed_convolution
from mgnet_fast.models.mgnet.published import published_forward

# Goals: how many times faster than the published algorithm in eager mode, in float32.
BARS = {
    ("mgnet_resnet18", 1, "int8"): 1 / 0.17,
    ("mgnet_resnet18", 16, "int8"): 1 / 0.30,
    ("mgnet_resnet50", 1, "int8"): 1 / 0.20,
    ("mgnet_resnet18", 1, "bf16"): 1 / 0.22,
    ("mgnet_resnet18", 16, "bf16"): 1 / 0.42,
    ("mgnet_resnet50", 1, "bf16"): 1 / 0.26,
}
RUNNERS = {"int8": "openvino", "bf16": "packed"}
DTYPES = {"int8": "int8", "bf16": "bfloat16"}  # their names in rows
TOLERANCES = {"int8": 0.05, "bf16": 0.02}


@pytest.mark.parametrize(("name", "slots", "precision"), BARS)
def test_against_the_published_algorithm(
    versus: Versus, name: str, slots: int, precision: str
) -> None:
    if precision == "int8":
        pytest.importorskip("nncf", reason="OpenVINO's quantiser, NNCF, is not installed")
    elif packed_convolution.refusal(torch.bfloat16) is not None:
        pytest.skip(str(packed_convolution.refusal(torch.bfloat16)))
    model, images = network(name), photos(slots)
    start = time.perf_counter()
    engine = Engine(
        model, precision=precision, slots=slots, exit=Never(), runner=RUNNERS[precision],
        calibration=[photos(8, seed=1)],
    )  # fmt: skip
    print(f"\n{name}, {precision}: prepared in {time.perf_counter() - start:.2f} s")
    print(engine.deviation)
    assert engine.deviation is not None

    def published() -> torch.Tensor:
        with torch.no_grad():
            return published_forward(model, images)["n_logit"][-1]

    versus(
        lambda: engine.predict(images), published,
        deviation=engine.deviation.logit_mean, tolerance=TOLERANCES[precision],
        suite="engine", op="inference", case=f"{name}, T = 4, {slots_in_words(slots)}, 224 px",
        dtype=DTYPES[precision], peer="published algorithm, eager NCHW",
        target=BARS[name, slots, precision],
    )  # fmt: skip
