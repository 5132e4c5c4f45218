"""Figure 4 for the toy network: accuracy under PGD by number of steps, MGNet and FF-Net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgnet_fast.data import load_dataset
from mgnet_fast.evaluation.attack_settings import AttackSettings, Mode
from mgnet_fast.evaluation.curves import Curve, Panel, draw_curves
from mgnet_fast.evaluation.robustness import Robustness, evaluate_attack
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.reproduction.table4 import TableRun


@dataclass(frozen=True)
class AttackedRun:
    """A run of table 4 attacked by PGD in one mode."""

    run: TableRun
    mode: str
    result: Robustness

    @property
    def looks_once(self) -> bool:
        """For FF-Net no gradient goes through regions, so "worst" equals "honest"."""
        return self.run.row.num_glimpses == 1


def attack_runs(
    runs: Sequence[TableRun],
    data_dir: Path,
    *,
    modes: Sequence[Mode],
    eps: float,
    steps: int,
    count: int,
    rows: Path,
    on_batch: Callable[[str, int], None] | None = None,
) -> list[AttackedRun]:
    """Attack each run's network on the fixed test scenes of its dataset.

    Args:
        runs: with a checkpoint each.
        data_dir: folder with MNIST's files.
        modes: of the attack, see `AttackSettings`.
        eps, steps: of PGD; a step is eps / 4, as in the published code.
        count: use only the first ``count`` scenes.
        rows: folder for finished batches.
        on_batch: called with a description and the number of scenes done.

    Raises:
        ValueError: a checkpoint or a number does not fit.
    """
    rows.mkdir(parents=True, exist_ok=True)
    found = []
    for run in runs:
        model = load_checkpoint(run.checkpoint)
        scenes = load_dataset(run.row.dataset, data_dir, "test", noise_std=run.row.noise_std)
        for mode in modes:
            settings = AttackSettings.of_mode(mode, eps=eps, step=eps / 4, steps=steps)
            told = None
            if on_batch is not None:
                told = _named(on_batch, f"{run.name}, {mode}")
            file = rows / f"{run.name}-{mode}.jsonl"
            result = evaluate_attack(model, scenes, settings, count=count, rows=file, on_batch=told)
            found.append(AttackedRun(run, mode, result))
    return found


def _named(on_batch: Callable[[str, int], None], what: str) -> Callable[[int], None]:
    return lambda done: on_batch(what, done)


def draw_figure4(attacked: Sequence[AttackedRun], path: Path) -> Path:
    """Draw one panel per dataset: accuracy after the last glimpse against steps of PGD.

    Raises:
        ValueError: there is nothing to draw.
    """
    panels = []
    for title in dict.fromkeys(each.run.row.title for each in attacked):
        curves = [
            _curve(each)
            for each in attacked
            if each.run.row.title == title and not (each.looks_once and each.mode == "worst")
        ]
        panels.append(Panel(f"steps of PGD (scenes: {title})", curves, counts=True))
    eps = attacked[0].result.settings.eps if attacked else 0.0
    count = attacked[0].result.count if attacked else 0
    return draw_curves(panels, path, f"Accuracy under PGD, eps {eps:.3g}, {count:,} scenes")


def _curve(attacked: AttackedRun) -> Curve:
    run, result = attacked.run, attacked.result
    name = "FF-Net" if attacked.looks_once else "MGNet"
    if not run.record.is_finished:
        name = f"{name}, {len(run.record.epochs)} of {run.record.planned} epochs"
    steps = range(len(result.by_steps))
    return Curve(
        f"{name}, {attacked.mode} mode",
        steps,
        [result.accuracy(step) for step in steps],
        [result.interval(step) for step in steps],
        dashed=attacked.looks_once,
    )
