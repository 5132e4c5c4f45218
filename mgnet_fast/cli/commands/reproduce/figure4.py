"""``mgnet-fast reproduce figure4``: MGNet and FF-Net under attack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ... import console
from ...options import shared as options
from ...options.option import option
from ...waiting import waiting_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ....evaluation.attack_settings import Mode
    from ....reproduction.figure4 import AttackedRun

SHOWN_STEPS = (0, 1, 2, 4, 10, 20, 50, 100, 300)


ModeChoice = Literal["paper", "honest", "worst", "all"]
"""The attack, as for ``mgnet-fast attack``."""


def figure4(
    data: Annotated[Path, option("DIR", "Folder with MNIST's t10k-*-ubyte files.")],
    runs: Annotated[
        Path, option("DIR", "Folder of the runs of mgnet-fast reproduce table4.")
    ] = Path("runs/table4"),
    out: Annotated[Path, option("DIR", "Folder for finished batches and the picture.")] = Path(
        "runs/figure4"
    ),
    mode: Annotated[ModeChoice, option("NAME", "paper, honest, worst or all.")] = "all",
    eps: Annotated[
        float, option("X", "Largest change of a pixel. The paper's 4/255 fools few digits.", min=0)
    ] = 0.1,
    steps: Annotated[int, option("N", "Number of PGD steps.", min=1)] = 20,
    images: Annotated[int, option("N", "Use only the first N scenes.", min=1)] = 1000,
    threads: options.Threads = None,
) -> None:
    """Attack the networks trained by reproduce table4 and draw the paper's figure 4.

    The same command resumes after an interruption.
    """
    from ....reproduction.figure4 import attack_runs, draw_figure4
    from ....reproduction.table4 import found_runs
    from ....threads import fixed_threads

    made = [run for run in found_runs(runs) if run.checkpoint.is_file()]
    # Noise 0.5 is not in the paper's figure, and has no FF-Net to be compared with.
    chosen = [run for run in made if run.row.paper_accuracy]
    if not chosen:
        raise typer.BadParameter(
            f"{runs} holds no checkpoint of the paper's table 4", param_hint="--runs"
        )
    every: tuple[Mode, ...] = ("paper", "honest", "worst")
    modes = [name for name in every if mode in ("all", name)]
    with fixed_threads(threads), waiting_bar(images) as show:
        attacked = attack_runs(
            chosen,
            data,
            modes=modes,
            eps=eps,
            steps=steps,
            count=images,
            rows=out,
            on_batch=show,
        )
    screen = console.output()
    screen.print(_table(attacked, steps))
    plot = draw_figure4(attacked, out / "figure4.png")
    screen.print(f"written: {plot}", soft_wrap=True)


def _table(attacked: Sequence[AttackedRun], steps: int) -> Table:
    table = console.new_table(
        "Accuracy after the last glimpse by steps of PGD, %",
        caption="paper: normalised space, the network's own gradient factor; honest: pixels, "
        "factor 1;\nworst: as honest, and the worst of three factors",
    )
    shown = sorted({step for step in SHOWN_STEPS if step <= steps} | {steps})
    for name in ("run", "mode"):
        table.add_column(name)
    for step in shown:
        table.add_column(str(step), justify="right")
    for each in attacked:
        shares = [f"{100 * each.result.accuracy(step):.1f}" for step in shown]
        table.add_row(each.run.name, each.mode, *shares)
    return table
