"""What "Learn To Pay Attention" claims, measured with and without attention at equal training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mgnet_fast.data import load_dataset
from mgnet_fast.evaluation import AttackSettings, evaluate, evaluate_attack, evaluate_segments
from mgnet_fast.evaluation.attack_settings import Mode
from mgnet_fast.evaluation.transfer import carried_accuracy
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.reproduction.planned_run import PlannedRun
from mgnet_fast.training.recipe import RECIPES
from mgnet_fast.training.run.folder import MODEL_NAME

DATASETS = ("cluttered-mnist-32", "translated-mnist-32")
CARRIED_TO = "padded-mnist-32"
MODEL = "ltpa_vgg_small"
VARIANTS: dict[str, dict[str, Any]] = {
    "attended": {},
    "plain": {"levels": 0},
    "dp": {"score": "dp"},
}
EPSILONS = (2 / 255, 4 / 255, 8 / 255)
MODES: tuple[Mode, ...] = ("paper", "honest")
RESULT_NAME = "measured.json"
CARRIED = "carried to"  # the start of a name, followed by that of a folder
_T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def attention_runs(
    variants: Iterable[str], seeds: Iterable[int], epochs: int, dataset: str = DATASETS[0]
) -> list[PlannedRun]:
    """One run for each seed and variant; all variants of the first seed come first.

    Raises:
        ValueError: a variant or the dataset is unknown.
    """
    variants = list(variants)
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")
    for variant in variants:
        if variant not in VARIANTS:
            raise ValueError(f"variants must be of {', '.join(VARIANTS)}, got {variant!r}")
    recipe = replace(RECIPES["default"], epochs=epochs, average_decay=0.0)
    return [
        PlannedRun(
            f"{variant}-seed{seed}",
            dataset,
            MODEL,
            None,
            recipe,
            seed,
            network_fields=VARIANTS[variant],
        )
        for seed in seeds
        for variant in variants
    ]


def measure_run(
    folder: Path,
    data_dir: Path,
    dataset: str = DATASETS[0],
    *,
    images: int = 2000,
    segments: int = 1000,
    on_part: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Everything that is measured of a finished run, kept in its folder.

    Args:
        folder: of the run.
        data_dir: folder with MNIST's IDX files, or others of their form.
        dataset: that the run was trained on.
        images: attacked, and classified by the linear classifier, which learns from twice as many.
        segments: scenes whose digits are compared with maps and saliency.
        on_part: called with the name of each part before it is measured.

    Returns:
        ``accuracy`` [count, correct]; ``jaccard``, from a map's name to [mean, low, high];
        ``fgsm``, from mode and eps to [count, correct]; ``carried`` [accuracy, low, high].
    """
    kept = folder / RESULT_NAME
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    say = on_part or (lambda part: None)
    model = load_checkpoint(folder / MODEL_NAME)
    test = load_dataset(dataset, data_dir, "test")
    say("accuracy")
    accuracy = evaluate(model, test)
    say("segments")
    overlaps = evaluate_segments(model, test, count=min(segments, len(test)))
    images = min(images, len(test))
    attacked = {}
    for mode in MODES:
        for eps in EPSILONS:
            say(f"FGSM, {mode} mode, eps {eps:.3f}")
            settings = AttackSettings.of_mode(mode, eps=eps).single_step()
            result = evaluate_attack(model, test, settings, count=images)
            attacked[f"{mode} {round(255 * eps)}/255"] = [images, result.correct[0][-1]]
    say("features carried over")
    other = [load_dataset(CARRIED_TO, data_dir, split) for split in ("train", "test")]
    share, interval = carried_accuracy(
        model, *other, train_count=min(2 * images, len(other[0])), test_count=images
    )
    measured = {
        "accuracy": [accuracy.count, accuracy.correct[-1]],
        "jaccard": {each.name: [each.mean, *each.interval()] for each in overlaps},
        "fgsm": attacked,
        "carried": [share, *interval],
    }
    _keep(measured, folder)
    return measured


def carry_run(folder: Path, data_dir: Path, *, images: int = 2000) -> dict[str, Any]:
    """Carries the features of a measured run to scenes of other images, such as Fashion-MNIST's.

    Args:
        folder: of the run, with what :func:`measure_run` keeps there.
        data_dir: folder with four IDX files named as MNIST's, of 28 x 28 pixels and ten classes.
        images: as for :func:`measure_run`.

    Returns:
        What is kept, and ``carried to NAME`` [accuracy, low, high] with the name of ``data_dir``;
        that is kept as well.

    Raises:
        ValueError: files are missing or damaged, or there are too few images.
    """
    found: dict[str, Any] = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
    name = f"{CARRIED} {data_dir.resolve().name}"
    if name not in found:
        train, test = (load_dataset(CARRIED_TO, data_dir, split) for split in ("train", "test"))
        share, interval = carried_accuracy(
            load_checkpoint(folder / MODEL_NAME),
            train,
            test,
            train_count=min(2 * images, len(train)),
            test_count=min(images, len(test)),
        )
        found[name] = [share, *interval]
        _keep(found, folder)
    return found


def _keep(measured: dict[str, Any], folder: Path) -> None:
    text = json.dumps(measured, indent=1) + "\n"
    (folder / RESULT_NAME).write_text(text, encoding="utf-8")


def over_seeds(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t (NaN for one seed)."""
    if len(values) < 2:
        return values[0], math.nan
    width = _T_975.get(len(values) - 1, 2.0) * stdev(values) / math.sqrt(len(values))
    return mean(values), width


def claims(results: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, list[float]]]]:
    """Each measured number of every variant, one value for each seed.

    Args:
        results: of :func:`measure_run`, by the name of the run.

    Returns:
        (what, from variant to values), in per cent but for Jaccard indices.
    """
    rows: dict[str, dict[str, list[float]]] = {}

    def add(what: str, variant: str, value: float) -> None:
        rows.setdefault(what, {}).setdefault(variant, []).append(value)

    for name, found in results.items():
        variant = name.partition("-seed")[0]
        count, correct = found["accuracy"]
        add("error, %", variant, 100 * (1 - correct / count))
        for setting, (attacked, right) in found["fgsm"].items():
            add(f"accuracy under FGSM, {setting}, %", variant, 100 * right / attacked)
        add("carried accuracy, %", variant, 100 * found["carried"][0])
        for what in found:
            if what.startswith(CARRIED):
                add(f"accuracy, {what}, %", variant, 100 * found[what][0])
        for segment, numbers in found["jaccard"].items():
            add(f"Jaccard, {segment}", variant, numbers[0])
    return list(rows.items())
