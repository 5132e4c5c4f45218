"""``mgnet-fast budget``: accuracy against multiply-adds and against milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import console
from ..eval_folder import chosen_images
from ..model_choice import network_title
from ..options import shared as options
from ..options.option import option
from ..waiting import waiting_bar

if TYPE_CHECKING:
    from rich.table import Table

    from ...evaluation.budgets import BudgetPoint


def _checked_thresholds(values: list[float] | None) -> list[float] | None:
    for value in values or []:
        if not 0 < value <= 1:
            raise typer.BadParameter(f"wanted a probability in (0, 1], got {value:g}")
    return values


def budget(
    former: options.FormerCheckpoints = None,
    checkpoints: options.Checkpoints = None,
    threshold: Annotated[
        list[float] | None,
        option(
            "X",
            "Confidence threshold. Repeat the option for several.",
            show_default="eight from 0.5 to 0.999",
            callback=_checked_thresholds,
        ),
    ] = None,
    slots: Annotated[
        int, option("N", "Number of images in flight; 1 times each image alone.", min=1)
    ] = 1,
    rounds: Annotated[int, option("N", "Number of timings of each setting.", min=1)] = 5,
    images: options.MostImages = None,
    data: options.TestDigitsOrImages = None,
    dataset: options.DatasetName = "translated-mnist",
    noise_std: options.NoiseStd = None,
    table_file: Annotated[
        Path | None, option("FILE", "Write all points to a CSV file.", "--csv")
    ] = None,
    plot: options.Plot = None,
    threads: options.Threads = None,
    device: options.Device = "cpu",
) -> None:
    """Measure the cost and the accuracy of each number of glimpses and of early exits."""
    import numpy as np
    import torch

    from ...evaluation.accuracy import check_fit
    from ...evaluation.budgets import THRESHOLDS, count_runs, measure_budgets, write_budgets
    from ...models.files.checkpoints import load_checkpoint
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    place = device_for(device, Workers())
    paths = options.networks(checkpoints, former)
    networks = [(network_title(path), load_checkpoint(path)) for path in paths]
    chosen = chosen_images(networks[0][1], paths[0], data, dataset, noise_std, images)
    scenes, count = chosen.images, chosen.count
    for _, model in networks:
        check_fit(model, scenes)
    thresholds = threshold or THRESHOLDS
    tensor, labels = next(scenes.load([np.arange(count)]))
    runs = count_runs([model for _, model in networks], thresholds, rounds)
    with fixed_threads(threads), waiting_bar(runs) as show:
        show("measuring", 0)
        points = measure_budgets(
            networks,
            tensor,
            labels,
            thresholds=thresholds,
            slots=slots,
            rounds=rounds,
            device=place,
            on_run=lambda done: show("measuring", done),
        )
        used = torch.get_num_threads()
    noun = "thread" if used == 1 else "threads"
    title = f"{chosen.title}, {slots} in flight, {used} {noun}"
    if table_file is not None:
        write_budgets(points, table_file)
    if plot is not None:
        _draw(points, plot, title)
    screen = console.output()
    screen.print(_table(title, points))
    for written in (table_file, plot):
        if written is not None:
            screen.print(f"written: {written}", soft_wrap=True)
    if table_file is None and plot is None:
        console.print_next(
            screen,
            ("mgnet-fast budget --csv FILE.csv --plot FILE.png", "save the table and the curves"),
        )


def _table(title: str, points: list[BudgetPoint]) -> Table:
    table = console.new_table(
        title, caption="multiply-adds as computed by this package; time per image"
    )
    several = len({point.network for point in points}) > 1
    if several:
        table.add_column("network")
    table.add_column("leaves at")
    for name in ("glimpses", "right, %", "95 % interval", "mult-adds", "time"):
        table.add_column(name, justify="right")
    for point in points:
        row = [
            _leaves(point),
            f"{point.mean_glimpses:.2f}",
            f"{100 * point.accuracy:.2f}",
            f"{100 * point.low:.1f} to {100 * point.high:.1f}",
            f"{point.multiply_adds / 1e6:.3f} M",
            console.duration(point.milliseconds / 1e3),
        ]
        table.add_row(*([point.network, *row] if several else row))
    return table


def _leaves(point: BudgetPoint) -> str:
    if point.kind == "exit":
        return f"p >= {point.setting:g}"
    return f"T = {point.setting:g}"


def _notes(points: list[BudgetPoint]) -> list[str]:
    """Labels for every number of glimpses, but only for the first and last threshold."""
    if points[0].kind == "glimpses":
        return [f"T = {point.setting:g}" for point in points]
    ends = (0, len(points) - 1)
    return [f"p ≥ {p.setting:g}" if at in ends else "" for at, p in enumerate(points)]


def _draw(points: list[BudgetPoint], path: Path, title: str) -> None:
    from ...evaluation.curves import Curve, Panel, draw_curves

    panels = []
    for label, cost in (
        ("million multiply-adds per image", lambda point: point.multiply_adds / 1e6),
        ("milliseconds per image", lambda point: point.milliseconds),
    ):
        curves = []
        for name in dict.fromkeys(point.network for point in points):
            for kind, noun in (
                ("glimpses", "T glimpses for every image"),
                ("exit", "confidence exit"),
            ):
                chosen = [p for p in points if p.network == name and p.kind == kind]
                chosen.sort(key=lambda point: point.setting)
                if chosen:
                    curves.append(
                        Curve(
                            f"{name}: {noun}",
                            [cost(point) for point in chosen],
                            [point.accuracy for point in chosen],
                            [(point.low, point.high) for point in chosen],
                            _notes(chosen),
                            dashed=kind == "exit",
                        )
                    )
        costs = [cost(point) for point in points]
        panels.append(Panel(label, curves, log=max(costs) > 10 * min(costs)))
    draw_curves(panels, path, title)
