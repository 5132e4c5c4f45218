"""``mgnet-fast reproduce attention``: what attention over a network's own maps is good for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ... import console
from ...options import shared as options
from ...options.option import choice, option, switch
from .progress import Seeds, TrainingData, make_all

if TYPE_CHECKING:
    from rich.table import Table


def attention(
    data: TrainingData = None,
    out: Annotated[Path, option("DIR", "Folder for the runs.")] = Path("runs/attention"),
    only: Annotated[
        list[str] | None,
        option("VARIANT", "attended, plain or dp. Repeat for several.", show_default="all"),
    ] = None,
    dataset: Annotated[
        Literal["cluttered-mnist-32", "translated-mnist-32"],
        choice("The scenes. Runs on other scenes need another --out."),
    ] = "cluttered-mnist-32",
    seeds: Seeds = "0,1,2",
    epochs: Annotated[int, option("N", "Epochs of each run.", min=1)] = 2,
    carry_to: Annotated[
        Path | None,
        option(
            "DIR",
            "Also carry the features to other images, such as Fashion-MNIST: a folder with four "
            "*-ubyte files.",
            show_default="only MNIST without clutter",
        ),
    ] = None,
    images: Annotated[int, option("N", "Number of attacked scenes.", min=2)] = 2000,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    quiet: Annotated[bool, switch("Show no progress bars.", "--quiet", "-q")] = False,
) -> None:
    """Compare a network with and without attention on digits.

    Error, maps against the digit, FGSM, and features carried to other scenes. The same command
    resumes. Without --data it prints the table of the runs in --out. --data may hold Fashion-MNIST.
    """
    from ....data import find_mnist
    from ....reproduction.attention import (
        RESULT_NAME,
        VARIANTS,
        attention_runs,
        carry_run,
        measure_run,
    )
    from ....reproduction.planned_run import record_of
    from ....threads import fixed_threads

    screen = console.output()
    plans = attention_runs(only or list(VARIANTS), seeds, epochs, dataset)  # type: ignore[arg-type]
    if carry_to is not None:
        find_mnist(carry_to)
    if data is not None:
        make_all(plans, out, data, {"threads": threads, "device": device, "progress": not quiet})
    results: dict[str, dict[str, Any]] = {}
    with fixed_threads(threads), screen.status("measuring") as status:
        for plan in plans:
            folder = out / plan.name
            if (folder / RESULT_NAME).is_file() or (
                data is not None and record_of(plan, out).is_finished
            ):

                def say(part: str, name: str = plan.name) -> None:
                    status.update(f"{name}: {part}")

                results[plan.name] = measure_run(
                    folder,
                    data or Path(),
                    dataset,
                    images=images,
                    segments=images // 2,
                    on_part=say,
                )
                if carry_to is not None:
                    say(f"features carried to {carry_to}")
                    results[plan.name] = carry_run(folder, carry_to, images=images)
    if not results:
        raise typer.BadParameter(
            f"{out} holds no measured run; give --data to make one", param_hint="--out"
        )
    screen.print(_table(results))


def _table(results: dict[str, dict[str, Any]]) -> Table:
    from ....reproduction.attention import claims, over_seeds

    variants = list(dict.fromkeys(name.partition("-seed")[0] for name in results))
    caption = "mean over the seeds, and half of its 95 % interval (Student's t)"
    table = console.new_table("With and without attention, equal training", caption=caption)
    table.add_column("")
    for variant in variants:
        seeds = sum(name.startswith(f"{variant}-seed") for name in results)
        table.add_column(f"{variant} ({seeds})", justify="right")
    for what, values in claims(results):
        digits = 3 if what.startswith("Jaccard") else 2
        cells = []
        for variant in variants:
            if variant not in values:
                cells.append("")
                continue
            middle, half = over_seeds(values[variant])
            text = f"{middle:.{digits}f}"
            cells.append(text if math.isnan(half) else f"{text} ± {half:.{digits}f}")
        table.add_row(what, *cells)
    return table
