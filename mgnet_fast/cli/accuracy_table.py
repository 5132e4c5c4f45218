"""Accuracy after each glimpse as a table, the same in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from . import console

if TYPE_CHECKING:
    from ..evaluation import Accuracy


def accuracy_table(title: str, accuracy: Accuracy, costs: list[int] | None = None) -> Table:
    """One row a glimpse: accuracy with its interval, multiply-adds, how large a part is seen.

    Args:
        title: above the table.
        accuracy: the numbers.
        costs: multiply-adds of 1..T glimpses; without them the column is left out.
    """
    table = console.new_table(title)
    table.add_column("glimpses", justify="right")
    sure = f"{100 * accuracy.confidence:.0f} % interval"
    top5 = accuracy.top5 or ()
    table.add_column("top-1" if top5 else "accuracy", justify="right", min_width=0 if top5 else 9)
    table.add_column(sure, justify="right", min_width=0 if top5 else 17)
    if top5:
        table.add_column("top-5", justify="right")
        table.add_column(sure, justify="right")
    if costs is not None:
        table.add_column("multiply-adds", justify="right", min_width=14)
    table.add_column("side seen", justify="right", min_width=9)
    for step, share in enumerate(accuracy.accuracy):
        row = [str(step + 1), f"{100 * share:.2f} %", _interval(accuracy.interval[step])]
        if top5 and accuracy.top5_interval is not None:
            row += [f"{100 * top5[step]:.2f} %", _interval(accuracy.top5_interval[step])]
        if costs is not None:
            row.append(console.multiply_adds(costs[step], 10**6))
        row.append(f"{100 * accuracy.mean_scale[step]:.0f} %")
        table.add_row(*row)
    return table


def _interval(pair: tuple[float, float]) -> str:
    low, high = pair
    return f"{100 * low:.2f} to {100 * high:.2f} %"
