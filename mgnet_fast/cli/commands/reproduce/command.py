"""``mgnet-fast reproduce``: the paper's table 4 and figure 4, studies of training and attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import console
from ...options import shared as options
from ...options.option import option, switch
from .attention import attention
from .figure4 import figure4
from .learning import learning
from .progress import Seeds, TrainingData, make_all

if TYPE_CHECKING:
    from rich.table import Table

    from ....reproduction.table4 import TableRun

reproduce = typer.Typer(
    help="Reproduce tables and figures of the paper.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
reproduce.command()(attention)
reproduce.command()(learning)
reproduce.command()(figure4)


@reproduce.command()
def table4(
    data: TrainingData = None,
    out: Annotated[
        Path, option("DIR", "Folder for the runs. Several machines may share it.")
    ] = Path("runs/table4"),
    only: Annotated[
        list[str] | None,
        option(
            "ROW",
            "ffnet, mgnet, noisy-ffnet, noisy-mgnet, noisier-mgnet, or an mgnet with -antialias. "
            "Repeat for several.",
            show_default="all",
        ),
    ] = None,
    seeds: Seeds = "0",
    epochs: Annotated[
        int | None,
        option("N", "Epochs of each run.", min=1, show_default="5 (FF-Net) to 52"),
    ] = None,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    bf16: Annotated[bool, switch("bfloat16 autocast.", "--bf16")] = False,
    quiet: Annotated[bool, switch("Show no progress bars.", "--quiet", "-q")] = False,
) -> None:
    """Train FF-Net and MGNet on translated MNIST and compare them with the paper's table 4.

    The same command resumes: finished runs are kept, interrupted ones continue. Without --data it
    prints the table of the runs in --out.
    """
    from ....reproduction.table4 import ROWS, found_runs, table_runs

    screen = console.output()
    if data is not None:
        settings: dict[str, Any] = {"threads": threads, "device": device, "progress": not quiet}
        settings["precision"] = "bf16" if bf16 else "fp32"
        plans = table_runs(only or list(ROWS), seeds, epochs)  # type: ignore[arg-type]
        make_all(plans, out, data, settings)
    runs = found_runs(out)
    if not runs:
        raise typer.BadParameter(
            f"{out} holds no run with a finished epoch; give --data to start one",
            param_hint="--out",
        )
    screen.print(_table(runs))
    for line in _notes(runs):
        screen.print(line, soft_wrap=True)


def _table(runs: list[TableRun]) -> Table:
    from ....reproduction.table4 import multiply_adds

    caption = "accuracy on the 10,000 fixed test scenes, %; cost in million multiply-adds"
    table = console.new_table("Table 4", caption=caption)
    for name in ("scenes", "network", "T"):
        table.add_column(name)
    for name in ("here", "95 %", "paper", "cost", "paper"):
        table.add_column(name, justify="right")
    for run in runs:
        costs = multiply_adds(run.row)
        for place, (share, low, high) in enumerate(run.record.accuracy()):
            paper, cost = run.row.paper_accuracy, run.row.paper_cost
            table.add_row(
                run.row.title if place == 0 else "",
                run.name if place == 0 else "",
                str(place + 1),
                f"{100 * share:.2f}",
                f"{100 * low:.2f}-{100 * high:.2f}",
                f"{paper[place]:.2f}" if paper else "",
                f"{costs[place] / 1e6:.3f}",
                f"{cost[place]:.3f}" if cost else "",
            )
    return table


def _notes(runs: list[TableRun]) -> list[str]:
    """How long each run was trained, and on which machine."""
    notes = []
    for run in runs:
        record = run.record
        state = "" if record.is_finished else ", NOT FINISHED"
        notes.append(
            f"{run.name}: {len(record.epochs)} of {record.planned} epochs{state}, "
            f"{record.seconds / 60:.0f} min ({record.machine})"
        )
    return notes
