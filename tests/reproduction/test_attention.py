"""The study of attention: its runs, what is measured, and the table."""

from __future__ import annotations

import math

import pytest

from mgnet_fast.reproduction.attention import attention_runs, over_seeds


def test_runs_differ_in_nothing_but_attention_and_seed() -> None:
    plans = attention_runs(["attended", "plain"], [0, 3], 2)
    names = ["attended-seed0", "plain-seed0", "attended-seed3", "plain-seed3"]
    assert [plan.name for plan in plans] == names
    assert len({(plan.dataset, plan.model, str(plan.recipe)) for plan in plans}) == 1
    assert [plan.network_fields for plan in plans[:2]] == [{}, {"levels": 0}]
    with pytest.raises(ValueError, match="variants must be of attended, plain, dp, got 'more'"):
        attention_runs(["more"], [0], 1)


def test_interval_over_seeds() -> None:
    middle, half = over_seeds([1.0, 2.0, 3.0])
    assert (middle, half) == (2.0, pytest.approx(4.303 / math.sqrt(3), rel=1e-3))
    assert math.isnan(over_seeds([4.0])[1])
