"""Plots of accuracy: against the steps of an attack, and against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FormatStrFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    ScalarFormatter,
)

from mgnet_fast.pictures.style import FRAME, INK, MUTED

COLORS = (
    "#2457c5",
    "#d9622b",
    "#12a150",
    "#8a3fc0",
    "#b0132b",
    "#00819b",
    "#8a6a00",
    "#d64f97",
    "#55606e",
)
STRETCHED_TICKS = (1, 5, 10, 20, 30, 50, 70, 80, 90, 95, 98, 99, 99.5, 99.8)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True)
class Curve:
    """A curve of a plot.

    Attributes:
        name: in the legend. A curve without a name has the colour of the one before.
        x: positions.
        share: accuracies in [0, 1].
        interval: (low, high) of each accuracy: a band, or bars if ``x`` is not ascending.
        notes: text beside the points.
        dashed: whether the line is dashed.
        color: index of the colour, so that curves of several panels can match. None: the next.
    """

    name: str
    x: Sequence[float]
    share: Sequence[float]
    interval: Sequence[tuple[float, float]] = ()
    notes: Sequence[str] = ()
    dashed: bool = False
    color: int | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        x_label: label of the x axis.
        curves: at least one.
        counts: whether x takes whole numbers only.
        log: whether the x axis is logarithmic.
        stretched: whether the y axis is the logit of the accuracy, which spreads values near
            100 %.
    """

    x_label: str
    curves: Sequence[Curve]
    counts: bool = False
    log: bool = False
    stretched: bool = False


def draw_curves(panels: Sequence[Panel], path: str | Path, title: str) -> Path:
    """Draws panels side by side with a common y axis, the accuracy in per cent.

    Args:
        panels: at least one.
        path: the file to write; the suffix selects the format (.png, .pdf, .svg).
        title: one line above.

    Raises:
        ValueError: there is no panel, or one has no curve.
    """
    if not panels or not all(panel.curves for panel in panels):
        raise ValueError("panels must hold at least one panel with a curve each")
    figure = Figure(figsize=(1.0 + 5.6 * len(panels), 5.0), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, panel in zip(row, panels, strict=True):
        _draw(axes, panel)
        axes.tick_params(labelleft=True)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _draw(axes: Axes, panel: Panel) -> None:
    place = -1
    for curve in panel.curves:
        place = place + bool(curve.name) if curve.color is None else curve.color
        color = COLORS[place % len(COLORS)]
        shares = [100 * share for share in curve.share]
        axes.plot(
            curve.x,
            shares,
            linestyle="--" if curve.dashed else "-",
            marker=MARKERS[place % len(MARKERS)],
            markersize=4.5,
            linewidth=1.6,
            color=color,
            label=curve.name or None,
        )
        if curve.interval:
            low, high = zip(*curve.interval, strict=True)
            below, above = [100 * v for v in low], [100 * v for v in high]
            if list(curve.x) == sorted(curve.x):
                axes.fill_between(curve.x, below, above, color=color, alpha=0.12, linewidth=0)
            else:
                axes.vlines(curve.x, below, above, color=color, alpha=0.35, linewidth=1)
        for note, x, y in zip(curve.notes, curve.x, shares, strict=False):
            # In a pair of curves the notes of the dashed one go to the other side.
            offset, align = ((-4, 5), "right") if curve.dashed else ((4, -11), "left")
            axes.annotate(
                note,
                (x, y),
                offset,
                textcoords="offset points",
                fontsize=7.5,
                color=MUTED,
                ha=align,
            )
    if panel.counts:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if panel.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    if panel.stretched:
        axes.set_yscale("function", functions=(_logit, _percent_of_logit))
        axes.yaxis.set_major_locator(FixedLocator(STRETCHED_TICKS))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(panel.x_label, color=INK)
    axes.set_ylabel("accuracy, %", color=INK)
    axes.grid(color=FRAME, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.09)  # room for a note beside the last point
    axes.tick_params(colors=MUTED)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FRAME)
    axes.legend(
        frameon=False,
        fontsize=8.5,
        ncols=2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),  # below the label of the x axis, clear of the curves
        borderaxespad=0.0,
    )


def _logit(percent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    share = np.clip(percent / 100, 1e-4, 1 - 1e-4)  # the ends of the axis are at infinity
    return np.log(share / (1 - share))


def _percent_of_logit(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 100 / (1 + np.exp(-logit))
