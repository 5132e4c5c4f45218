"""A picture of a large scene with the regions that a network looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .boxes import region_box
from .style import FRAME, INK, MUTED, RIGHT, WRONG

_LINE = 22  # height of the lines above and below, as the pixels of the scene
_STEPS = ("#6b7684", "#2f6fd0", "#e0a100", "#9b51e0")  # colours of the glimpses, by step


def draw_overview(
    small: np.ndarray,
    fields: Sequence[tuple[float, float, float]],
    regions: Sequence[Tensor],
    predictions: Sequence[int],
    labels: Sequence[int],
    path: Path,
    title: str,
) -> Path:
    """Draw a small image of the scene, the glimpses of each field, and the answers.

    Args:
        small: uint8 [h, w], the scene.
        fields: (left, top, side) of each field, in pixels of ``small``.
        regions: [T, 3] of each field, in the field.
        predictions, labels: of each field.
        path: .png, .pdf or .svg.
        title: above the picture.
    """
    height, width = small.shape
    whole = height + 2 * _LINE
    figure = Figure(figsize=(width / 72, whole / 72), dpi=144)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, _LINE / whole, 1, height / whole))
    axes.imshow(small, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
    for (left, top, side), looks, predicted, label in zip(
        fields, regions, predictions, labels, strict=True
    ):
        axes.add_patch(Rectangle((left, top), side, side, fill=False, ec=FRAME, lw=0.4, alpha=0.5))
        for step, region in enumerate(looks.tolist()):
            if step == 0:
                continue  # the whole field
            box = region_box(region, round(side), round(side))
            axes.add_patch(
                Rectangle(
                    (left + box.left, top + box.top), box.width, box.height, fill=False,
                    ec=_STEPS[step % len(_STEPS)], lw=1.2,
                )
            )  # fmt: skip
        colour = RIGHT if predicted == label else WRONG
        axes.text(
            left + 4, top + 4, str(predicted), color=colour, fontsize=11, weight="bold", va="top"
        )
    figure.text(
        0.01, 1 - 0.2 * _LINE / whole, title, color=INK, fontsize=10, weight="bold", va="top"
    )
    steps = max((len(looks) for looks in regions), default=1)
    x = 0.01
    for step in range(1, steps):
        figure.text(
            x,
            0.3 * _LINE / whole,
            f"glimpse {step + 1}",
            color=_STEPS[step % len(_STEPS)],
            fontsize=8,
        )
        x += 0.1
    figure.text(
        x, 0.3 * _LINE / whole, "the first glimpse is the whole field", color=MUTED, fontsize=8
    )
    figure.savefig(path)
    return path
