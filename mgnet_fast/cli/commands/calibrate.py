"""``mgnet-fast calibrate``: an exit rule for a budget, as a file for the other commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .. import console
from ..eval_folder import chosen_images
from ..options import shared as options
from ..options.exits import exit_rule
from ..options.option import choice, option, switch

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from ...engine import ExitRule
    from ...evaluation import ExitCalibration, ExitOutcome

Rule = Literal["confidence", "margin", "entropy", "learned"]
Unit = Literal["glimpses", "multiply-adds", "milliseconds"]
_LEARNED_FROM = 2  # of every three images


def calibrate(
    budget: Annotated[float, option("X", "Mean per image, in --unit.", min=0.0)],
    checkpoint: options.Checkpoint = None,
    unit: Annotated[
        Unit, choice("Millions of multiply-adds; milliseconds are measured here.")
    ] = "glimpses",
    rule: Annotated[
        Rule,
        choice(
            "What decides. learned: a small head that expects no gain from looking on; it learns "
            "from two thirds of the images, and the rest set its threshold."
        ),
    ] = "confidence",
    by_glimpse: Annotated[
        bool,
        switch("A threshold for each glimpse, fitted to the labels.", "--by-glimpse"),
    ] = False,
    out: Annotated[
        Path | None, option("FILE", "Write the rule to this .json file.", "--out", "-o")
    ] = None,
    slots: Annotated[int, option("N", "Number of images in flight.", min=1)] = 32,
    images: options.MostImages = None,
    data: options.TestDigitsOrImages = None,
    dataset: options.DatasetName = "translated-mnist",
    noise_std: options.NoiseStd = None,
    threads: options.Threads = None,
    device: options.Device = "cpu",
) -> None:
    """Find the exit rule for a mean budget per image; show what others would give.

    Use images that the network was not trained on.
    """
    import numpy as np

    from ...engine import Engine, save_exit
    from ...evaluation import calibrate_exit, learn_exit
    from ...evaluation.accuracy import check_fit
    from ...models.files.checkpoints import load_checkpoint
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    if out is not None and out.suffix != ".json":
        raise typer.BadParameter(f"wanted a name that ends in .json, got {out}", param_hint="--out")
    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    place = device_for(device, Workers())
    path = options.one_network(checkpoint, None)
    model = load_checkpoint(path)
    if model.config.num_glimpses < 2:
        raise ValueError(f"{path} takes a single glimpse, so no image can leave earlier")
    chosen = chosen_images(model, path, data, dataset, noise_std, images)
    check_fit(model, chosen.images)
    every = np.arange(chosen.count)
    learns = (every % (_LEARNED_FROM + 1) < _LEARNED_FROM) & (rule == "learned")
    with fixed_threads(threads):
        engine = Engine(model, place, slots=slots)
        if rule == "learned":
            kind: ExitRule = learn_exit(engine, chosen.images.load(_batches(every[learns])))
        else:
            kind = exit_rule(rule, None)
        found = calibrate_exit(
            engine,
            chosen.images.load(_batches(every[~learns])),
            1e6 * budget if unit == "multiply-adds" else budget,
            unit=unit,
            rule=kind,
            rounds=1,
        )
    best = found.outcome_by_glimpse if by_glimpse else found.outcome
    if out is not None:
        save_exit(best.rule, out)
    screen = console.output()
    title = f"{int((~learns).sum()):,} of {chosen.title}" if learns.any() else chosen.title
    screen.print(_table(title, found, best))
    if out is None:
        again = "mgnet-fast calibrate ... --out exit.json"
        console.print_next(screen, (again, "save the rule in the last line"))
    else:
        screen.print(f"written: {out}", soft_wrap=True)
        console.print_next(screen, (f"mgnet-fast predict DIR --exit {out}", "use it"))


def _batches(numbers: np.ndarray) -> list[np.ndarray]:
    return [numbers[start : start + 256] for start in range(0, len(numbers), 256)]


def _table(title: str, found: ExitCalibration, best: ExitOutcome) -> Table:
    name = type(best.rule).__name__
    table = console.new_table(title, caption="multiply-adds as computed by this package")
    table.add_column(f"threshold of {name}")
    for column in ("glimpses", "right, %", "mult-adds", "images/s"):
        table.add_column(column, justify="right")
    for outcome in found.table:
        table.add_row(*_row(outcome))
    table.add_section()
    table.add_row(*_row(best), style="bold")
    return table


def _row(outcome: ExitOutcome) -> tuple[str, ...]:
    asked = outcome.rule.threshold
    thresholds = asked if isinstance(asked, tuple) else (asked,)
    return (
        ", ".join(f"{each:.4g}" for each in thresholds),
        f"{outcome.mean_glimpses:.2f}",
        f"{100 * outcome.accuracy:.2f}",
        f"{outcome.multiply_adds / 1e6:.3f} M",
        f"{outcome.images_per_second:.0f}",
    )
