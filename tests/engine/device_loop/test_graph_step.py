"""A step that can be captured: nothing in it asks the device for a number, or leaves the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mgnet_fast import Confidence, Entropy, Margin, Never, create_model
from mgnet_fast.engine.device_loop.step import GraphStep
from mgnet_fast.engine.exits import ExitDecision, ExitRule
from mgnet_fast.engine.runners.cudagraph import folded_runner
from mgnet_fast.engine.runners.kind import RunnerRequest
from mgnet_fast.engine.runners.plain import PlainRunner

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::masked_select"}


class NothingWaits(TorchDispatchMode):
    """Fails on what needs a value of the device on the host, or moves one between the two."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device
        self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func._schema.name
        assert name not in WAITS, f"{name} waits for the device"
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        for each in tree_leaves((args, kwargs, result)):
            if isinstance(each, Tensor):
                assert each.device.type == self._device, f"{name} on {each.device}"
        return result


@pytest.mark.parametrize(
    "rule", [Never(), Confidence(0.9), Margin((0.9, 0.8)), Entropy(0.3, temperature=2.0)]
)
@pytest.mark.parametrize("name", ["mgnet_toy", "ffnet_toy"])
@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(torch.uint8, "fp32"), (torch.float32, "bf16"), (torch.uint8, "fp16")],
    ids=str,
)
def test_no_step_waits_for_the_device(
    name: str, rule: ExitRule, dtype: torch.dtype, precision: str
) -> None:
    """On tensors without memory, which can give nobody a number."""
    model = create_model(name).to("meta")
    request = RunnerRequest(model, torch.device("meta"), precision, 6)
    step = GraphStep(folded_runner(request), request.slots)
    images = torch.empty(13, 1, 40, 44, dtype=dtype, device="meta")
    decision = ExitDecision(rule, step.glimpses, "meta")
    step(images, decision)  # constants are brought to the device once
    with NothingWaits("meta") as seen:
        step(images, decision)
    assert seen.calls > 30


class NoNumbersComeIn(TorchFunctionMode):
    """Fails on what makes a tensor of numbers of the host, which a capture cannot."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in ("tensor", "new_tensor", "as_tensor", "from_numpy"), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["mgnet_toy", "ffnet_toy"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_no_numbers_come_from_the_host(name: str, dtype: torch.dtype) -> None:
    step = GraphStep(PlainRunner(create_model(name).eval()), 3)
    images = torch.zeros(5, 1, 40, 44, dtype=dtype)
    decision = ExitDecision(Margin((0.9, 0.8)), step.glimpses, "cpu")
    step(images, decision)
    with NoNumbersComeIn():
        step(images, decision)


def _reads_a_number(step: GraphStep) -> None:
    step.records.sum().item()


def _leaves_the_device(step: GraphStep) -> None:
    step.records.to("meta")


@pytest.mark.parametrize("wrong", [_reads_a_number, _leaves_the_device])
def test_what_waits_is_seen(wrong: Callable[[GraphStep], None]) -> None:
    step = GraphStep(PlainRunner(create_model("mgnet_toy")), 2)
    with NothingWaits("meta"), pytest.raises(AssertionError, match="aten::"):
        wrong(step)


def test_the_bits_do_not_depend_on_where_an_image_sits(digit_scenes: Tensor, model: Any) -> None:
    """Free slots, whatever NaN they hold, change nothing in the others."""
    step = GraphStep(PlainRunner(model), 4)
    decision = ExitDecision(Never(), 3, "cpu")
    records = []
    for line in ([0], [0, 1, 2]):
        step.reset()
        step.control[:3] = torch.tensor([0, len(line), 0])
        step.control[3 : 3 + len(line)] = torch.tensor(line)
        for turn in range(3):
            step(digit_scenes[:9], decision)
            record = step.records[turn % 2]
            busy = (record[:, -1] != 0).tolist()
            assert busy == [slot < len(line) for slot in range(4)]
            records.append(record[0].clone())
    for alone, among in zip(records[:3], records[3:], strict=True):
        assert torch.equal(alone[-2:], among[-2:])
        torch.testing.assert_close(alone[:10], among[:10], rtol=0, atol=1e-4)
    assert [int(record[-1]) for record in records] == [1, 2, -3] * 2
