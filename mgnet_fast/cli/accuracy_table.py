"""The table of accuracy after each glimpse that all commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from . import console

if TYPE_CHECKING:
    from ..evaluation import Accuracy


def accuracy_table(title: str, accuracy: Accuracy, costs: list[int] | None = None) -> Table:
    """One row per glimpse: accuracy with its interval, multiply-adds, share of the image seen.

    Args:
        title: above the table.
        accuracy: the numbers.
        costs: multiply-adds of 1..T glimpses; None leaves the column out.
    """
    if accuracy.top5 is not None:
        return _table_with_top5(title, accuracy, costs)
    table = console.new_table(title)
    table.add_column("glimpses", justify="right")
    table.add_column("accuracy", justify="right", min_width=9)
    table.add_column(f"{100 * accuracy.confidence:.0f} % interval", justify="right", min_width=17)
    if costs is not None:
        table.add_column("multiply-adds", justify="right", min_width=14)
    table.add_column("side seen", justify="right", min_width=9)
    for step, share in enumerate(accuracy.accuracy):
        row = [str(step + 1), f"{100 * share:.2f} %", f"{_interval(accuracy.interval[step])} %"]
        if costs is not None:
            row.append(console.multiply_adds(costs[step], 10**6))
        row.append(f"{100 * accuracy.mean_scale[step]:.0f} %")
        table.add_row(*row)
    return table


def _table_with_top5(title: str, accuracy: Accuracy, costs: list[int] | None) -> Table:
    """The same with top-5 accuracy, narrow enough for 80 columns."""
    table = console.new_table(title)
    sure = f"{100 * accuracy.confidence:.0f} % interval"
    cost = [] if costs is None else ["multiply-adds"]
    for name in ("T", "top-1 %", sure, "top-5 %", sure, *cost, "side seen"):
        table.add_column(name, justify="right", no_wrap=True)
    for step, scale in enumerate(accuracy.mean_scale):
        row = [str(step + 1)]
        for shares, intervals in (
            (accuracy.accuracy, accuracy.interval),
            (accuracy.top5 or (), accuracy.top5_interval or ()),
        ):
            row += [f"{100 * shares[step]:.2f}", _interval(intervals[step])]
        if costs is not None:
            row.append(console.multiply_adds(costs[step], 10**6))
        table.add_row(*row, f"{100 * scale:.0f} %")
    return table


def _interval(pair: tuple[float, float]) -> str:
    low, high = pair
    return f"{100 * low:.2f} to {100 * high:.2f}"
