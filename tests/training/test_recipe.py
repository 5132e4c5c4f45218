"""Recipes: names, changes, ranges, differences."""

from __future__ import annotations

import pytest

from mgnet_fast.training import RECIPES, Recipe, get_recipe


def test_the_papers_recipe_is_the_papers() -> None:
    paper = get_recipe("paper")
    assert (paper.peak_lr, paper.weight_decay, paper.batch_size) == (0.1, 1e-4, 256)
    assert (paper.pct_start, paper.div_factor, paper.final_div_factor) == (0.2, 25.0, 1e4)
    assert (paper.base_momentum, paper.max_momentum) == (0.85, 0.95)
    assert (paper.alpha, paper.gradient_scale) == (0.6, 0.02)
    assert (paper.nesterov, paper.label_smoothing, paper.average_decay) == (False, 0.0, 0.0)


def test_changes_keep_the_rest_and_none_keeps_all() -> None:
    changed = get_recipe("default", epochs=2, batch_size=None)
    assert changed.epochs == 2
    assert changed.differences(RECIPES["default"].to_dict()) == [
        f"epochs: {RECIPES['default'].epochs} -> 2"
    ]
    assert get_recipe(changed) is changed or get_recipe(changed) == changed


def test_differences_name_fields_that_one_side_lacks() -> None:
    saved = Recipe(epochs=1).to_dict()
    del saved["nesterov"]  # saved before there was such a field: its default
    saved["warm_up"] = 5
    assert Recipe(epochs=1).differences(saved) == ["warm_up: 5 -> None"]
    assert Recipe(epochs=1, nesterov=True).differences(saved)[0] == "nesterov: False -> True"


def test_unknown_names() -> None:
    with pytest.raises(
        ValueError, match="recipe must be one of paper, default, imagenet100, fine-tune, tiny"
    ):
        get_recipe("best")
    with pytest.raises(ValueError, match="got 'learning_rate'"):
        get_recipe("paper", learning_rate=1.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("peak_lr", 0.0),
        ("peak_lr", float("nan")),
        ("weight_decay", -1e-4),
        ("pct_start", 1.5),
        ("alpha", -0.1),
        ("max_momentum", 1.0),
        ("average_decay", 1.0),
        ("gradient_scale_warmup", 1.5),
        ("gradient_clip", -1.0),
        ("adaptive_gradient_share", float("nan")),
        ("optimizer", "lion"),
    ],
)
def test_numbers_out_of_range(field: str, value: float | str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        get_recipe("paper", **{field: value})


def test_an_adaptive_factor_needs_a_start() -> None:
    with pytest.raises(ValueError, match=r"gradient_scale must be above 0 .* got 0\.0"):
        get_recipe("paper", adaptive_gradient_share=0.1, gradient_scale=0.0)
