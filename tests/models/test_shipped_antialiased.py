"""The shipped weights of the network that antialiases."""

from __future__ import annotations

import json

from mgnet_fast.assets import antialiased_toy_checkpoint_path, asset_path
from mgnet_fast.demo import load_scenes
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models import create_model
from mgnet_fast.models.files.checkpoints import load_checkpoint


def test_its_first_glimpse_is_right_more_often() -> None:
    soft = load_checkpoint(antialiased_toy_checkpoint_path())
    assert soft.config.antialias
    scenes = load_scenes()
    first, *_, last = evaluate(soft, scenes).accuracy
    assert first > 0.93
    assert last > 0.98
    assert evaluate(create_model("mgnet_toy", pretrained=True), scenes).accuracy[0] < 0.9


def test_it_comes_by_name() -> None:
    named = create_model("mgnet_toy", pretrained=True, antialias=True)
    file = load_checkpoint(antialiased_toy_checkpoint_path())
    for name, value in named.state_dict().items():
        assert (value == file.state_dict()[name]).all()


def test_its_log_says_how_it_was_trained() -> None:
    text = asset_path("mgnet_toy_antialias.log.jsonl").read_text(encoding="utf-8")
    first, *_, last = (json.loads(line) for line in text.splitlines())
    assert first["antialias"] is True
    assert last["accuracy"] == [0.9624, 0.9942, 0.9951]
