"""Attention maps as heat maps over the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from .looks import Look
from .style import INK, RIGHT, UNKNOWN, WRONG

_SHARE = 0.6  # of the heat in a pixel
_PANEL = 1.5  # inches
_CAPTION = 0.3
_TITLE = 0.5


def heat_over(image: Tensor, weights: Tensor) -> Tensor:
    """The image under the colours of its attention: uint8 [3, H, W].

    Args:
        image: uint8 [C, H, W] with C = 1 or 3.
        weights: [h, w], at least 0; the largest is the brightest, 0 is black.
    """
    size = (image.shape[-2], image.shape[-1])
    bigger = torch.nn.functional.interpolate(
        weights.float().cpu()[None, None], size, mode="bilinear", align_corners=False
    )[0, 0]
    heat = colormaps["inferno"]((bigger / bigger.max().clamp(min=1e-30)).numpy())[..., :3]
    colours = torch.from_numpy(heat).permute(2, 0, 1).float() * 255
    shown = image.cpu().float().expand(3, *size)
    return ((1 - _SHARE) * shown + _SHARE * colours).round().to(torch.uint8)


def draw_attention(
    looks: Sequence[Look],
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
) -> Path:
    """Draws each image beside its heat maps, one for each level of attention, the last map last.

    Args:
        looks: of at least one image, with ``attention``, see :func:`look_at`.
        path: the file to write; the suffix selects the format (.png, .pdf, .svg).
        class_names: name of each class. Default: the class number.
        title: one line above everything.

    Returns:
        The path.

    Raises:
        ValueError: there is nothing to draw, or looks have different numbers of levels.
    """
    levels = {len(look.attention) for look in looks}
    if not looks or levels == {0}:
        raise ValueError("looks must hold at least one image with attention, got none")
    if len(levels) > 1:
        raise ValueError(f"looks must have one number of levels, got {sorted(levels)}")
    columns = 1 + levels.pop()
    size = columns * _PANEL, _TITLE + len(looks) * (_PANEL + _CAPTION)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.text(0.02, 1 - 0.3 / size[1], title, size=8, weight="bold", color=INK)
    for row, look in enumerate(looks):
        panels = [look.thumbnail, *(heat_over(look.thumbnail, each) for each in look.attention)]
        for column, pixels in enumerate(panels):
            top = _TITLE + row * (_PANEL + _CAPTION)
            axes = figure.add_axes(
                (
                    (column + 0.04) / columns,
                    1 - (top + _PANEL) / size[1],
                    0.92 / columns,
                    0.92 * _PANEL / size[1],
                )
            )
            axes.imshow(_as_array(pixels), cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
            caption, colour = _answer(look, class_names) if column == 0 else ("", INK)
            if column and row == 0:
                caption = f"map {column} of {columns - 1}"
            axes.set_title(caption, size=7, color=colour, pad=2, loc="left")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _as_array(pixels: Tensor) -> np.ndarray:
    array: np.ndarray = pixels.permute(1, 2, 0).numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def _answer(look: Look, names: Sequence[str] | None) -> tuple[str, str]:
    label = look.predictions[-1]
    name = names[label] if names is not None and label < len(names) else str(label)
    text = f"{name}, {100 * look.confidences[-1]:.0f} %"
    if look.right is None:
        return text, UNKNOWN
    return text, RIGHT if look.right[-1] else WRONG
