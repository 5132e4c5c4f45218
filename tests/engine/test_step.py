"""A step of the engine in each backend: the logits and regions of the network's own forward.

In Triton's interpreter this file is run again: tests/kernels/test_interpreter.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgnet_fast import Never
from mgnet_fast.engine.device_loop.device import CalledSteps
from mgnet_fast.engine.device_loop.loop import GraphLoop
from mgnet_fast.engine.device_loop.state import GraphState
from mgnet_fast.engine.exits import ExitDecision
from mgnet_fast.engine.runners.plain import PlainRunner
from mgnet_fast.engine.runners.runner import StepInput
from mgnet_fast.engine.schedule.read_ahead import Source
from mgnet_fast.models import MGNet, create_model
from mgnet_fast.ops.backends import choice as backends

T = 3


@pytest.fixture(scope="module")
def network() -> MGNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model("mgnet_toy", num_glimpses=T).eval()


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 1, 40, 44), dtype=torch.uint8, generator=generator)


def test_slots_at_different_glimpses(
    monkeypatch: pytest.MonkeyPatch, network: MGNet, pictures: Tensor, backend: str
) -> None:
    """Slot n looks at image 4 - n and starts n % 3 steps after the first one."""
    monkeypatch.setattr(backends, "_requested_by_environment", backend)
    runner = PlainRunner(network)
    with torch.no_grad():
        expected = network(pictures)
    slots = len(pictures)
    place = torch.arange(slots - 1, -1, -1)
    tokens = runner.new_tokens(slots).fill_(torch.nan)
    region = runner.initial_regions(slots)
    length = 1 - torch.arange(slots) % 3
    for _ in range(T + 2):
        running = (length >= 1) & (length <= T)
        at = length.clamp(1, T)
        logits, following = runner.step(StepInput(pictures, region, tokens, at, place))
        for slot in running.nonzero().flatten().tolist():
            t, image = int(length[slot]), int(place[slot])
            torch.testing.assert_close(
                region[slot], expected["n_affparam"][t - 1, image], rtol=0, atol=1e-4
            )
            torch.testing.assert_close(
                logits[slot], expected["n_logit"][t - 1, image], rtol=0, atol=1e-3
            )
        region = torch.where(running[:, None], following, region)
        length += 1


def test_slots_that_decide_for_themselves(
    monkeypatch: pytest.MonkeyPatch, network: MGNet, pictures: Tensor, backend: str
) -> None:
    monkeypatch.setattr(backends, "_requested_by_environment", backend)
    state = GraphState(PlainRunner(network), 2, CalledSteps, "a step")
    decision = ExitDecision(Never(max_glimpses=2), T, "cpu")
    found = list(GraphLoop(state, decision, Source(pictures[:3])).predictions())
    with torch.no_grad():
        expected = network(pictures[:3], num_glimpses=2)
    for n, result in enumerate(found):
        assert result.glimpses == 2
        torch.testing.assert_close(result.regions, expected["n_affparam"][:, n], rtol=0, atol=1e-4)
        torch.testing.assert_close(result.logits, expected["n_logit"][-1, n], rtol=0, atol=1e-3)
