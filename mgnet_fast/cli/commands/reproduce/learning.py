"""``mgnet-fast reproduce learning``: gradient rescaling against its alternatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ... import console
from ...options import shared as options
from ...options.option import option, switch
from .progress import Seeds, TrainingData, make_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ....reproduction.learning_curves import LearningCurve

SHARES = (0.5, 0.9, 0.95, 0.99)


def learning(
    data: TrainingData = None,
    out: Annotated[Path, option("DIR", "Folder for the runs and the curves.")] = Path(
        "runs/learning"
    ),
    only: Annotated[
        list[str] | None,
        option(
            "VARIANT",
            'Such as "AdamW, factor .02" or "SGD, factor 1". Repeat for several.',
            show_default="all",
        ),
    ] = None,
    seeds: Seeds = "0,1,2",
    epochs: Annotated[int, option("N", "Epochs of each run.", min=1)] = 10,
    num_glimpses: Annotated[int, options.num_glimpses("Glimpses per image.", default="3")] = 3,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    quiet: Annotated[bool, switch("Show no progress bars.", "--quiet", "-q")] = False,
) -> None:
    """Compare gradient factors, warm-up, clipping, an adaptive factor and optimisers.

    The same command resumes: finished runs are kept, interrupted ones continue. Without --data it
    draws the curves of the runs in --out.
    """
    from ....reproduction.learning_curves import draw_learning, found_curves, write_curves
    from ....reproduction.learning_variants import VARIANTS, study_runs

    if data is not None:
        plans = study_runs(
            only or list(VARIANTS),
            seeds,  # type: ignore[arg-type]
            epochs,
            num_glimpses,
            "translated-mnist",
        )
        settings = {"threads": threads, "device": device, "progress": not quiet}
        make_all(plans, out, data, settings)
    curves = found_curves(out)
    if not curves:
        raise typer.BadParameter(
            f"{out} holds no run with a finished epoch; give --data to start one",
            param_hint="--out",
        )
    screen = console.output()
    screen.print(_table(curves))
    table_file, plot = out / "learning.csv", out / "learning.png"
    write_curves(curves, table_file)
    title = f"Translated MNIST, {curves[0].record.start['num_glimpses']} glimpses"
    draw_learning(curves, plot, title)
    for written in (table_file, plot):
        screen.print(f"written: {written}", soft_wrap=True)


def _table(curves: Sequence[LearningCurve]) -> Table:
    table = console.new_table(
        "Epochs to an accuracy after the last glimpse",
        caption="a number for each seed; -: not reached",
    )
    table.add_column("variant")
    for name in ("epochs", *(f"{100 * share:.0f} %" for share in SHARES), "last, %"):
        table.add_column(name, justify="right")
    for variant in dict.fromkeys(curve.variant for curve in curves):
        runs = [curve for curve in curves if curve.variant == variant]
        table.add_row(
            variant,
            _epochs(runs),
            *(" ".join(str(run.epochs_to(share) or "-") for run in runs) for share in SHARES),
            " ".join(f"{100 * run.accuracy[-1]:.2f}" for run in runs),
        )
    return table


def _epochs(runs: Sequence[LearningCurve]) -> str:
    """The number of epochs: "10", or "10 3/10" if a run is unfinished."""
    each = [
        f"{run.record.planned}"
        if run.record.is_finished
        else f"{len(run.accuracy)}/{run.record.planned}"
        for run in runs
    ]
    return each[0] if len(set(each)) == 1 else " ".join(each)
