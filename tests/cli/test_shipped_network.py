"""The network in the package, on the digits in the package."""

from __future__ import annotations

from mgnet_fast.assets import toy_checkpoint_path
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.evaluation import evaluate


def test_shipped_network_reads_the_shipped_digits() -> None:
    """The reason to ship it: nearly all right after its last glimpse, few after the first."""
    assert toy_checkpoint_path().is_file()
    accuracy = evaluate(load_model(), load_scenes()).accuracy
    assert accuracy[-1] >= 0.98
    assert accuracy[0] < accuracy[-1]
