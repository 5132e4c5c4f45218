"""The study of gradient rescaling: its variants, its curves from logs, its files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mgnet_fast.reproduction.learning_curves import draw_learning, found_curves, write_curves
from mgnet_fast.reproduction.learning_variants import VARIANTS, slug, study_recipe, study_runs


def write_log(folder: Path, variant: str, seed: int, last: list[float]) -> None:
    start = {
        "kind": "run", "seed": seed, "num_glimpses": 2,
        "recipe": {"epochs": 3, "gradient_scale": 0.02},
    }  # fmt: skip
    rows = [start] + [
        {"kind": "epoch", "epoch": at, "accuracy": [0.1, share], "seconds": 1.0}
        for at, share in enumerate(last, start=1)
    ]
    (folder / f"{slug(variant)}-seed{seed}").mkdir()
    path = folder / f"{slug(variant)}-seed{seed}" / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_folder_names_are_distinct_and_plain() -> None:
    slugs = [slug(variant) for variant in VARIANTS]
    assert len(set(slugs)) == len(slugs)
    assert slugs[:3] == ["adamw-factor-1", "adamw-factor-0.1", "adamw-factor-0.02"]
    assert all(name.replace("-", "").replace(".", "").isalnum() for name in slugs)


def test_every_variant_is_a_recipe_and_differs_from_the_others() -> None:
    recipes = [study_recipe(variant, 5) for variant in VARIANTS]
    assert len(set(recipes)) == len(recipes)
    assert {recipe.epochs for recipe in recipes} == {5}


def test_the_first_seed_of_all_variants_comes_first() -> None:
    runs = study_runs(["SGD, factor 1", "SGD, factor .1"], [4, 5], 2, 3, "translated-mnist")
    assert [run.seed for run in runs] == [4, 4, 5, 5]
    assert [run.recipe.gradient_scale for run in runs] == [1.0, 0.1, 1.0, 0.1]
    with pytest.raises(ValueError, match=r"variants must be of AdamW, factor 1, .* got 'factor 2'"):
        study_runs(["factor 2"], [0], 2, 3, "translated-mnist")


def test_curves_from_logs(tmp_path: Path) -> None:
    write_log(tmp_path, "SGD, factor .02", 0, [0.3, 0.8, 0.95])
    write_log(tmp_path, "SGD, factor .02", 1, [0.5, 0.9])
    write_log(tmp_path, "SGD, factor 1", 0, [0.2])
    curves = found_curves(tmp_path)
    assert [(curve.variant, curve.seed) for curve in curves] == [
        ("SGD, factor 1", 0), ("SGD, factor .02", 0), ("SGD, factor .02", 1),
    ]  # fmt: skip
    assert [curve.epochs_to(0.9) for curve in curves] == [None, 3, 2]

    write_curves(curves, tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[1] == {
        "variant": "SGD, factor .02", "seed": "0", "epoch": "1", "of": "3", "first": "0.1",
        "last": "0.3", "gradient_factor": "0.02", "seconds": "1.0",
    }  # fmt: skip
    plot = draw_learning(curves, tmp_path / "curves.png", "a title")
    assert plot.read_bytes().startswith(b"\x89PNG")
