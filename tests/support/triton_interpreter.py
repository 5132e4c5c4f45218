"""A pytest plugin for runs in Triton's interpreter.

A program of a kernel takes 20 ms there, whatever its tile. So tiles are larger, and of each
parametrised test as few cases are kept as meet every value of every parameter. bfloat16 is rounded
as the hardware does, which the interpreter does not: it cuts off.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import triton.language as tl
from triton.runtime import interpreter

from mgnet_fast.kernels import tiles

LANES, VALUES = 64, 2048

_cast = interpreter.InterpreterBuilder.cast_impl


def _rounded_cast(self: Any, source: Any, target: Any) -> Any:
    if target.scalar != tl.bfloat16:
        return _cast(self, source, target)
    assert source.dtype.scalar != tl.float64, "no GPU rounds float64 to bfloat16 in one step"
    values = source.data.astype(np.float32)
    bits = values.view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # ties to even
    nearest = np.where(np.isnan(values), 0x7FC0, nearest)
    return interpreter.TensorHandle(nearest.astype(np.uint16), tl.bfloat16)


def pytest_configure(config: pytest.Config) -> None:
    tiles.LANES, tiles.VALUES = LANES, VALUES
    interpreter.InterpreterBuilder.cast_impl = _rounded_cast
    for name in ("create_fp_trunc", "create_fp_to_fp"):
        setattr(
            interpreter.InterpreterBuilder,
            name,
            lambda self, source, target, *rounding: _rounded_cast(self, source, target),
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = os.environ.get("MGNET_FAST_TESTS_LEFT_OUT", "").split(",")
    once = os.environ.get("MGNET_FAST_TESTS_ONCE", "").split(",")
    tests: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        tests[item.nodeid.partition("[")[0]].append(item)
    kept = set()
    for name, cases in tests.items():
        test = name.rpartition("::")[2]
        if test not in left_out:
            kept |= {id(item) for item in (cases[:1] if test in once else _covering(cases))}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


def _covering(cases: list[Any]) -> list[Any]:
    """As few as meet every value of every parameter, and with them many pairs of values."""
    chosen, values, pairs = [cases[0]], _values(cases[0]), _pairs(cases[0])
    everything = set().union(*map(_values, cases))
    while values != everything:
        best = max(cases, key=lambda case: (len(_values(case) - values), len(_pairs(case) - pairs)))
        chosen.append(best)
        values |= _values(best)
        pairs |= _pairs(best)
    return chosen


def _values(case: Any) -> set[tuple[str, str]]:
    parameters = case.callspec.params if hasattr(case, "callspec") else {}
    return {(name, str(value)) for name, value in parameters.items()}


def _pairs(case: Any) -> set[Any]:
    return set(itertools.combinations(sorted(_values(case)), 2))
