"""Exit rules that have learned, and rules in files."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mgnet_fast import (
    Confidence,
    Engine,
    Entropy,
    LearnedExit,
    Margin,
    MGNet,
    Never,
    load_exit,
    save_exit,
)
from mgnet_fast.engine import ExitRule
from mgnet_fast.engine.exits import ExitDecision
from mgnet_fast.engine.learned_exit import CLASSES, ExitHead, exit_features

INF, NAN = math.inf, math.nan


def head_of(steps: int, seed: int = 0) -> ExitHead:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, steps - 1 + CLASSES), (4,), (3, 4), (3,)]
    parts = [torch.randn(shape, generator=generator).tolist() for shape in shapes]
    return ExitHead(
        tuple(map(tuple, parts[0])), tuple(parts[1]), tuple(map(tuple, parts[2])), tuple(parts[3])
    )


def by_hand(head: ExitHead, logits: torch.Tensor, length: int) -> float:
    """The expected gain, from sorted probabilities, in float64."""
    steps = head.num_glimpses
    logs = sorted((math.log(p) for p in logits.double().softmax(0).tolist() if p > 0), reverse=True)
    logs = [max(each, -20.0) / 4 for each in (logs + [-20.0] * CLASSES)[:CLASSES]]
    x = [float(length == t) for t in range(1, steps)] + logs
    hidden = [
        max(0.0, sum(a * b for a, b in zip(row, x, strict=True)) + bias)
        for row, bias in zip(head.hidden_weight, head.hidden_bias, strict=True)
    ]
    out = [
        sum(a * b for a, b in zip(row, hidden, strict=True)) + bias
        for row, bias in zip(head.out_weight, head.out_bias, strict=True)
    ]
    worse, _, better = torch.tensor(out, dtype=torch.float64).softmax(0).tolist()
    return better - worse


@pytest.mark.parametrize("classes", [1, 2, 5, 10])
def test_the_score_is_minus_the_expected_gain(classes: int) -> None:
    rule = LearnedExit(head=head_of(4))
    logits = 5 * torch.randn(6, classes, generator=torch.Generator().manual_seed(classes))
    length = torch.tensor([1, 2, 3, 1, 2, 3])
    found = rule.score(logits, length)
    for row in range(6):
        wanted = -by_hand(rule.head, logits[row], int(length[row]))
        assert found[row].item() == pytest.approx(wanted, abs=1e-5)


def test_it_leaves_where_little_is_expected() -> None:
    rule = LearnedExit(head=head_of(3))
    logits, length = torch.randn(50, 10), torch.randint(1, 4, (50,))
    gain = -rule.score(logits, length)
    for threshold in (-0.5, 0.0, 0.2):
        decision = ExitDecision(replace(rule, threshold=threshold), 3, "cpu")
        assert torch.equal(decision(logits, length), (gain <= threshold) | (length == 3))


def test_logits_that_are_not_finite_take_all_glimpses() -> None:
    decision = ExitDecision(LearnedExit(1.0, head=head_of(3)), 3, "cpu")
    broken = torch.tensor([[NAN, 0.0], [INF, 0.0], [-INF, -INF], [0.0, -INF]])
    assert decision(broken, torch.ones(4, dtype=torch.int64)).tolist() == [False] * 3 + [True]
    assert decision(broken, torch.full((4,), 3)).all()


def test_features_of_few_classes_are_filled_up() -> None:
    features = exit_features(torch.tensor([[0.0, 0.0]]), torch.tensor([2]), 3)
    half = math.log(0.5) / 4
    assert features.tolist() == [pytest.approx([0, 1, half, half, -5, -5, -5])]


def test_images_stop_where_the_head_ends(model: MGNet, digit_scenes: torch.Tensor) -> None:
    """A head for two glimpses of a network with three."""
    rule = LearnedExit(-INF, head=head_of(2))
    assert rule.max_glimpses == 2
    found = Engine(model, slots=3, exit=rule).predict(digit_scenes[:5])
    assert [each.glimpses for each in found] == [2] * 5
    rule = LearnedExit(0.02, head=head_of(3))
    found = Engine(model, slots=3, exit=rule).predict(digit_scenes[:40])
    logits = Engine(model).logits_after_each(digit_scenes[:40])
    gain = -rule.score(logits[:2], torch.tensor([1, 2])[:, None].expand(2, 40))
    wanted = torch.where(gain[0] <= 0.02, 1, torch.where(gain[1] <= 0.02, 2, 3))
    near = ((gain - 0.02).abs() < 1e-5).any(0)  # too near to call
    assert [each.glimpses for each, skip in zip(found, near, strict=True) if not skip] == wanted[
        ~near
    ].tolist()


@pytest.mark.parametrize(
    "rule",
    [
        Confidence(0.7, temperature=1.5),
        Margin((INF, 0.25), min_glimpses=2),
        Entropy(0.1, max_glimpses=2),
        Never(),
        LearnedExit((0.125, -INF), head=head_of(3)),
    ],
)
def test_a_rule_comes_back_from_its_file(rule: ExitRule, tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    save_exit(rule, path)
    assert load_exit(path) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_different_heads_have_different_names() -> None:
    names = {repr(LearnedExit(head=head_of(3, seed))) for seed in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) < 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no exit rule"),
        ("[1]", "a JSON object is wanted, got list"),
        ('{"rule": "Sometimes"}', "rule must be one of Never, Confidence, .*, got 'Sometimes'"),
        ('{"rule": ["Never"]}', "rule must be one of"),
        ('{"rule": "Confidence", "bar": 1}', "unexpected keyword argument 'bar'"),
        ('{"rule": "Confidence", "threshold": 2}', r"in \[0, 1\], got 2"),
        ('{"rule": "LearnedExit"}', "head"),
        ('{"rule": "LearnedExit", "head": [1]}', "head must be an ExitHead, got list"),
        ('{"rule": "LearnedExit", "head": {"hidden_weight": [1]}}', "holds no exit rule"),
        ("\xff\x00", "holds no exit rule"),
    ],
)
def test_other_files_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=said):
        load_exit(path)
    with pytest.raises(ValueError, match=r"exit\.json"):
        load_exit(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temperature": 2.0}, "temperature of LearnedExit must be 1"),
        ({"max_glimpses": 4}, "max_glimpses must be at most 3, for which the head was made, got 4"),
        ({"threshold": 1.5}, r"threshold of LearnedExit must be in \[-1, 1\], got 1.5"),
    ],
)
def test_wrong_numbers_are_refused(values: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LearnedExit(head=head_of(3), **values)


def test_a_head_must_fit_together() -> None:
    good = vars(head_of(3))
    for name, value in (("hidden_bias", (0.0,)), ("out_bias", (0.0,)), ("hidden_weight", ())):
        with pytest.raises(ValueError, match="an exit head must have weights"):
            ExitHead(**{**good, name: value})
    with pytest.raises(TypeError, match="needs length"):
        LearnedExit(head=head_of(3)).score(torch.zeros(1, 10))


def test_thresholds_beyond_the_range_have_the_same_effect() -> None:
    rule = LearnedExit(head=head_of(3))
    assert (rule.allowed(3.0), rule.allowed(-3.0), rule.allowed(0.5)) == (1.0, -INF, 0.5)
    assert (Entropy().allowed(-1.0), Confidence().allowed(-1.0)) == (-INF, 0.0)
