"""Pictures of where a network looked: images with boxes above the glimpses.

The layout is that of figures 6 and 7 of the MGNet paper. matplotlib is used through its
object-oriented interface only, so no display is needed and no pyplot state is changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .boxes import region_box
from .style import FRAME, INK, MUTED, RIGHT, UNKNOWN, WRONG

# Sizes in pixels of the picture. 224 is a multiple of 112 (scenes) and 28 (glimpses of digits), so
# their pixels stay sharp.
PANEL = 224
PANEL_GAP = 14
BLOCK_GAP = 60
MARGIN = 48
CAPTION = 46
LABEL = 44
STEPS = 46
TITLE = 48
FOOTER = 44
DPI = 200
CHARACTER = 16  # width of a bold letter, a little more than on average
LEGEND = "solid green: right after this glimpse      dashed red: wrong"


def draw_glimpses(
    images: Any,
    regions: Any,
    glimpses: Any,
    predictions: Any,
    labels: Any | None,
    path: str | Path,
    *,
    confidences: Any = None,
    class_names: Sequence[str] | None = None,
    image_names: Sequence[str] | None = None,
    title: str | None = None,
    align_corners: bool = True,
    blocks_per_row: int | None = None,
    looks: Sequence[int] | None = None,
) -> Path:
    """Draws each image once per look with the box of its region, above the enlarged glimpse.

    A box, its caption and the frame of its glimpse are green if the prediction after that step
    is right, and red (the box dashed) if it is wrong.

    Args:
        images: [N, C, H, W] with C = 1 or 3; uint8, or floats in [0, 1] (clipped).
        regions: [L, N, 3] or [L, N, 4], as a network returns them in ``n_affparam``.
        glimpses: [L, N, C, h, w], in the value range of the images.
        predictions: int [T, N], the class after each step.
        labels: int [N], the true class; None if unknown: everything is blue.
        path: the file to write; the suffix selects the format (.png, .pdf, .svg).
        confidences: float [T, N] in [0, 1], written beside the predictions.
        class_names: name of each class. Default: the class number.
        image_names: name of each image, written above it; shortened in the middle where it does
            not fit.
        title: one line above everything.
        align_corners: the convention that the glimpses were taken with.
        blocks_per_row: images side by side. Default: as fits a page of about 4:3.
        looks: number of looks of each step, L in total. Default: one each, L = T.

    Arrays may be torch tensors on any device, or anything that numpy converts to numbers.

    Returns:
        The path.

    Raises:
        TypeError: an array does not consist of numbers.
        ValueError: shapes do not fit together, or there is nothing to draw.
    """
    if looks is not None:
        predictions = _of_each_look("predictions", predictions, looks)
        if confidences is not None:
            confidences = _of_each_look("confidences", confidences, looks)
    data = _Series.check(images, regions, glimpses, predictions, labels, confidences)
    names = list(class_names) if class_names is not None else None
    steps, count = data.predictions.shape
    columns = blocks_per_row or _blocks_per_row(count, steps)
    rows = math.ceil(count / columns)
    columns = min(columns, count)

    top = STEPS + (TITLE if title else 0)
    block_width = steps * PANEL + (steps - 1) * PANEL_GAP
    block_height = LABEL + 2 * PANEL + CAPTION
    width = 2 * MARGIN + columns * block_width + (columns - 1) * BLOCK_GAP
    height = 2 * MARGIN + top + rows * block_height + (rows - 1) * BLOCK_GAP + FOOTER

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    page = _Page(figure, width, height)
    if title:
        page.text(MARGIN, MARGIN - 14, title, size=12, weight="bold")
    for column in range(columns):
        for t in range(steps):
            middle = _panel_left(column, t, block_width) + PANEL / 2
            page.text(middle, MARGIN + top - STEPS, f"glimpse {t + 1}", color=MUTED, align="center")
    for n in range(count):
        row, column = divmod(n, columns)
        upper = MARGIN + top + row * (block_height + BLOCK_GAP)
        heading = []
        if image_names is not None:
            heading.append(_shortened(image_names[n], block_width // CHARACTER))
        if data.labels is not None:
            heading.append(f"label {_name(names, int(data.labels[n]))}")
        if heading:
            text = "   ".join(heading)
            page.text(_panel_left(column, 0, block_width), upper, text, weight="bold")
        for t in range(steps):
            left = _panel_left(column, t, block_width)
            _draw_step(page, data, n, t, left, upper + LABEL, names, align_corners)
    if data.labels is not None:
        page.text(MARGIN, height - MARGIN - FOOTER + 20, LEGEND, size=8, color=MUTED)

    path = Path(path)
    if not path.suffix:
        raise ValueError(f"path must end in .png, .pdf or .svg, got {str(path)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


@dataclass(frozen=True)
class _Series:
    """The checked arrays of one picture, channels last, values in [0, 1]."""

    images: np.ndarray
    regions: np.ndarray
    glimpses: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray | None
    confidences: np.ndarray | None

    @staticmethod
    def check(
        images: Any, regions: Any, glimpses: Any, predictions: Any, labels: Any, confidences: Any
    ) -> _Series:
        image, box = _array("images", images), _array("regions", regions)
        glimpse, predicted = _array("glimpses", glimpses), _array("predictions", predictions)
        label = None if labels is None else _array("labels", labels)
        if image.ndim != 4 or image.shape[1] not in (1, 3):
            raise ValueError(f"images must have shape [N, 1 or 3, H, W], got {list(image.shape)}")
        if box.ndim != 3 or box.shape[1] != len(image) or box.shape[2] not in (3, 4):
            raise ValueError(
                f"regions must have shape [T, {len(image)}, 3 or 4], got {list(box.shape)}"
            )
        steps, count = box.shape[:2]
        if steps * count == 0:
            raise ValueError(f"there must be an image and a glimpse to draw, got {count}, {steps}")
        wanted = [steps, count, image.shape[1]]
        if glimpse.ndim != 5 or list(glimpse.shape[:3]) != wanted:
            raise ValueError(
                f"glimpses must have shape [{steps}, {count}, {image.shape[1]}, h, w], "
                f"got {list(glimpse.shape)}"
            )
        if predicted.shape != (steps, count):
            raise ValueError(
                f"predictions must have shape [{steps}, {count}], got {list(predicted.shape)}"
            )
        if label is not None and label.shape != (count,):
            raise ValueError(f"labels must have shape [{count}], got {list(label.shape)}")
        sure = None if confidences is None else _array("confidences", confidences)
        if sure is not None and sure.shape != (steps, count):
            raise ValueError(
                f"confidences must have shape [{steps}, {count}], got {list(sure.shape)}"
            )
        return _Series(_displayable(image), box, _displayable(glimpse), predicted, label, sure)


class _Page:
    """A figure with coordinates in pixels from its upper left corner."""

    def __init__(self, figure: Figure, width: int, height: int) -> None:
        self.figure, self.width, self.height = figure, width, height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def text(
        self,
        left: float,
        top: float,
        text: str,
        *,
        size: float = 9.5,
        color: str = INK,
        weight: str = "normal",
        align: str = "left",
    ) -> None:
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            text,
            fontsize=size,
            color=color,
            fontweight=weight,
            ha=align,
            va="top",
        )


def _draw_step(
    page: _Page,
    data: _Series,
    n: int,
    t: int,
    left: float,
    top: float,
    names: list[str] | None,
    align_corners: bool,
) -> None:
    predicted = int(data.predictions[t, n])
    right = data.labels is None or predicted == int(data.labels[n])
    color = UNKNOWN if data.labels is None else RIGHT if right else WRONG

    image = data.images[n]
    scene = _panel(page, image, left, top, FRAME, 0.8)
    height, width = image.shape[:2]
    box = region_box(data.regions[t, n], height, width, align_corners)
    scene.add_patch(
        Rectangle(
            (box.left, box.top),
            box.width,
            box.height,
            fill=False,
            edgecolor=color,
            linewidth=1.8,
            linestyle="-" if right else (0, (3, 1.5)),
            clip_on=False,
            zorder=3,
        )
    )
    mark = "" if data.labels is None else "✓ " if right else "✗ "
    caption = f"{mark}{_name(names, predicted)}"
    page.text(left, top + PANEL + 9, caption, color=color, weight="bold")
    if data.confidences is not None:
        sure = f"{100 * float(data.confidences[t, n]):.0f} %"
        page.text(left + PANEL, top + PANEL + 11, sure, size=8.5, color=MUTED, align="right")
    _panel(page, data.glimpses[t, n], left, top + PANEL + CAPTION, color, 1.8)


def _panel(
    page: _Page, image: np.ndarray, left: float, top: float, frame: str, line: float
) -> Axes:
    height, width = image.shape[:2]
    shrink = PANEL / max(height, width)
    axes = page.axes(
        left + (PANEL - width * shrink) / 2,
        top + (PANEL - height * shrink) / 2,
        width * shrink,
        height * shrink,
    )
    axes.imshow(image.squeeze(-1) if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(frame)
        spine.set_linewidth(line)
    return axes


def _panel_left(column: int, step: int, block_width: int) -> int:
    return MARGIN + column * (block_width + BLOCK_GAP) + step * (PANEL + PANEL_GAP)


def _blocks_per_row(count: int, steps: int) -> int:
    """Number of columns whose page is closest to 4:3; empty places count against it."""

    def badness(columns: int) -> float:
        rows = math.ceil(count / columns)
        aspect = columns * (steps * PANEL + BLOCK_GAP) / (rows * (2 * PANEL + BLOCK_GAP + LABEL))
        return abs(math.log(aspect / 1.3)) + 0.5 * (rows * columns - count) / count

    return min(range(1, count + 1), key=badness)


def _array(name: str, values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point():
            values = values.float()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise TypeError(f"{name} must be an array of numbers, got {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, got {type(values).__name__}")
    return array


def _of_each_look(name: str, values: Any, looks: Sequence[int]) -> np.ndarray:
    """[T, N] with row t repeated for each look of step t."""
    array = _array(name, values)
    if array.ndim != 2 or len(array) != len(looks):
        raise ValueError(f"{name} must have shape [{len(looks)}, N], got {list(array.shape)}")
    return np.repeat(array, looks, axis=0)


def _displayable(values: np.ndarray) -> np.ndarray:
    """[..., C, H, W] of uint8 or floats to [..., H, W, C] in [0, 1]."""
    scaled = values / 255.0 if values.dtype == np.uint8 else np.clip(values, 0.0, 1.0)
    return np.moveaxis(scaled, -3, -1)


def _shortened(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, by its beginning and its end."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _name(names: list[str] | None, label: int) -> str:
    return names[label] if names is not None and 0 <= label < len(names) else str(label)
