"""Accuracy under attack: counting, going on after an interruption, what is refused before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mgnet_fast.assets import digit_paths, toy_checkpoint_path
from mgnet_fast.data import TEST_SEED, TranslatedMNIST, read_digits
from mgnet_fast.evaluation import AttackSettings, evaluate_attack, pgd
from mgnet_fast.evaluation.row_file import RowFile
from mgnet_fast.models import MGNet, create_model
from mgnet_fast.models.files.checkpoints import load_checkpoint

STRONG = {"eps": 0.1, "step": 0.05}


@pytest.fixture(scope="module")
def scenes() -> TranslatedMNIST:
    return TranslatedMNIST(read_digits(*digit_paths()), seed=TEST_SEED)


@pytest.fixture
def model() -> MGNet:
    return load_checkpoint(toy_checkpoint_path())


def test_counts_what_the_attack_leaves(model: MGNet, scenes: TranslatedMNIST) -> None:
    settings = AttackSettings.worst(steps=2, **STRONG)
    result = evaluate_attack(model, scenes, settings, count=10, batch_size=4)
    images, labels = scenes.scenes(torch.arange(10)), scenes.labels[:10]
    attacked = pgd(model, images, labels, settings)
    expected = (attacked.n_logit.argmax(2) == labels).sum(1).tolist()
    with torch.no_grad():
        clean = (model.eval()(images)["n_logit"].argmax(2) == labels).sum(1).tolist()
    assert list(result.clean) == clean
    assert list(result.by_steps[2]) == expected
    assert result.accuracy(2) == expected[-1] / 10
    assert result.interval(2)[0] < result.accuracy(2) < result.interval(2)[1]
    assert json.loads(json.dumps(result.to_dict()))["correct_by_steps"][2] == expected


def test_whole_gradient_of_the_region_is_no_stronger_attack_on_the_shipped_network(
    model: MGNet, scenes: TranslatedMNIST
) -> None:
    """What docs/robustness.md says: factor 1 alone makes the network look robust."""
    whole, own = (
        evaluate_attack(
            model,
            scenes,
            AttackSettings.honest(**STRONG, steps=4, gradient_scales=(factor,)),
            count=30,
        )
        for factor in (1.0, None)
    )
    assert own.accuracy(4) < whole.accuracy(4) - 0.2


def test_goes_on_after_an_interruption(
    model: MGNet, scenes: TranslatedMNIST, tmp_path: Path
) -> None:
    settings, path = AttackSettings.honest(steps=1, **STRONG), tmp_path / "rows.jsonl"
    whole = evaluate_attack(model, scenes, settings, count=9, batch_size=3)
    seen: list[int] = []

    def stop(done: int) -> None:
        seen.append(done)
        if done == 6:
            raise KeyboardInterrupt

    options = {"count": 9, "batch_size": 3, "rows": path}
    with pytest.raises(KeyboardInterrupt):
        evaluate_attack(model, scenes, settings, on_batch=stop, **options)
    with path.open("a") as file:
        file.write('{"first": 6, "cou')  # a row cut by the interruption
    resumed = evaluate_attack(model, scenes, settings, on_batch=seen.append, **options)
    assert seen == [3, 6, 6, 9]
    assert resumed == whole
    assert evaluate_attack(model, scenes, settings, **options) == whole

    other = AttackSettings.honest(steps=2, **STRONG)
    with pytest.raises(ValueError, match=r"another run \(different: settings\)"):
        evaluate_attack(model, scenes, other, **options)
    with pytest.raises(ValueError, match="different: model"):
        evaluate_attack(create_model("mgnet_toy"), scenes, settings, **options)


def test_damaged_row_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"kind": "run"}\nnonsense\n{}\n')
    with pytest.raises(ValueError, match=r"rows.jsonl, line 2: wanted a JSON object, got 'nons"):
        RowFile(path, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 501}, r"count must be in 1..500, the number of scenes, got 501"),
        ({"count": 0}, "got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_wrong_numbers(
    model: MGNet, scenes: TranslatedMNIST, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_attack(model, scenes, AttackSettings(), **options)


def test_wrong_channels(scenes: TranslatedMNIST) -> None:
    with pytest.raises(ValueError, match="in_chans = 1 for these scenes, got 3"):
        evaluate_attack(create_model("mgnet_toy", in_chans=3), scenes, AttackSettings())
