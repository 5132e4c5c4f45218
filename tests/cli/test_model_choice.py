"""What tables call a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgnet_fast.cli.model_choice import network_title


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("mine.safetensors", "mine"),
        ("runs/ffnet-seed0/model.safetensors", "ffnet-seed0"),
        ("model.safetensors", "model"),
        ("logs/last.ckpt", "last"),
    ],
)
def test_a_run_is_called_by_its_folder(path: str, title: str) -> None:
    assert network_title(Path(path)) == title
