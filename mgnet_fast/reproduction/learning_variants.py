"""The recipes compared by the study of gradient rescaling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mgnet_fast.reproduction.planned_run import PlannedRun
from mgnet_fast.training.recipe import RECIPES, Recipe

# AdamW is the default recipe, SGD the paper's with a schedule for few epochs.
_ADAMW = RECIPES["default"]
_SGD = replace(RECIPES["paper"], weight_decay=2e-4, pct_start=0.15, div_factor=10.0)

FACTORS: dict[str, dict[str, Any]] = {
    "factor 1": {"gradient_scale": 1.0},
    "factor .1": {"gradient_scale": 0.1},
    "factor .02": {"gradient_scale": 0.02},
    "factor .01": {"gradient_scale": 0.01},
    "warm-up to 1": {"gradient_scale": 1.0, "gradient_scale_warmup": 0.5},
    "factor 1, clipped": {"gradient_scale": 1.0, "gradient_clip": 1.0},
    "adaptive, share .1": {"gradient_scale": 0.02, "adaptive_gradient_share": 0.1},
}
VARIANTS: dict[str, Recipe] = {
    f"{optimizer}, {name}": replace(base, **fields)
    for optimizer, base in (("AdamW", _ADAMW), ("SGD", _SGD))
    for name, fields in FACTORS.items()
}


def slug(variant: str) -> str:
    """A variant's name as a folder name: "SGD, factor .02" becomes "sgd-factor-0.02"."""
    words = variant.lower().replace(",", "").replace(" .", " 0.").split()
    return "-".join(words)


def study_recipe(variant: str, epochs: int) -> Recipe:
    """The recipe of a variant with its schedule stretched over this many epochs."""
    return replace(VARIANTS[variant], epochs=epochs)


def study_runs(
    variants: list[str], seeds: list[int], epochs: int, num_glimpses: int, dataset: str
) -> list[PlannedRun]:
    """One run per variant and seed; all variants of the first seed come first.

    Raises:
        ValueError: a variant is unknown.
    """
    for variant in variants:
        if variant not in VARIANTS:
            raise ValueError(f"variants must be of {', '.join(VARIANTS)}, got {variant!r}")
    return [
        PlannedRun(
            f"{slug(variant)}-seed{seed}",
            dataset,
            "mgnet_toy",
            num_glimpses,
            study_recipe(variant, epochs),
            seed,
        )
        for seed in seeds
        for variant in variants
    ]
