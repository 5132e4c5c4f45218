"""An HTML page about what a network looked at: one file, without scripts or external resources.

Each image is shown with the boxes of its glimpses, beside the glimpses themselves, as in figures 1
and 7 of the paper. A table at the top summarises all images.
"""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mgnet_fast.models.regions import region_scale

from .boxes import region_box
from .heat import heat_over
from .looks import Look
from .style import RIGHT, STYLE, UNKNOWN, WRONG

_PNG_BELOW = 64 * 64  # pixels; small glimpses are stored without loss


def write_report(
    looks: Sequence[Look],
    path: str | Path,
    *,
    title: str,
    class_names: Sequence[str] | None = None,
    confidence: float = 0.9,
) -> Path:
    """Writes the page. Images whose last answer is wrong come first.

    Args:
        looks: of at least one image, see :func:`look_at`.
        path: the file to write, usually ``.html``.
        title: of the page.
        class_names: name of each class. Default: the class number.
        confidence: threshold of the early exit in the summary, in (0, 1].

    Returns:
        The path.

    Raises:
        TypeError: an entry of ``looks`` is not a :class:`Look`.
        ValueError: there is nothing to show.
    """
    if not looks:
        raise ValueError("looks must hold at least one image, got 0")
    for look in looks:
        if not isinstance(look, Look):
            raise TypeError(f"looks must hold objects of class Look, got {type(look).__name__}")
    names = list(class_names) if class_names is not None else []
    ordered = sorted(looks, key=lambda look: look.right is None or look.right[-1])
    body = "\n".join(
        [
            f"<h1>{html.escape(title)}</h1>",
            _summary(looks, confidence),
            "<main>",
            *(_card(look, names) for look in ordered),
            "</main>",
        ]
    )
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _summary(looks: Sequence[Look], confidence: float) -> str:
    steps = max(len(look.predictions) for look in looks)
    known = [look for look in looks if look.right is not None]
    leaves = Counter(look.leaves_after(confidence) for look in looks)
    headings = ["glimpse", "side seen", "at the border", f"leave at {100 * confidence:g} %"]
    if known:
        headings.insert(1, "right")
    rows = []
    for step in range(steps):
        there = [look for look in looks if step < len(look.predictions)]
        scale = float(np.mean([look.scale_of_step[step] for look in there]))
        border = float(np.mean([look.border_share_of_step[step] for look in there]))
        share = leaves[step + 1] / len(looks)
        cells = [str(step + 1), f"{100 * scale:.0f} %", f"{100 * border:.0f} %"]
        cells.append(f"<span class='bar' style='--w:{share:.3f}'></span>{100 * share:.0f} %")
        if known:
            right = sum(bool(look.right and look.right[step]) for look in known)
            cells.insert(1, f"{right} of {len(known)}, {100 * right / len(known):.1f} %")
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    mean = sum(look.leaves_after(confidence) for look in looks) / len(looks)
    unknown = len(looks) - len(known)
    notes = [f"{len(looks):,} images", f"mean of {mean:.2f} glimpses with that exit"]
    if known and unknown:
        notes.append(f"{unknown} without a known class")
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    return (
        f"<p class='note'>{'; '.join(notes)}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<p class='note'>{_legend(bool(known))}</p>"
    )


def _legend(known: bool) -> str:
    numbers = "Boxes are numbered by glimpse; the first is the whole image."
    if not known:
        return numbers
    return (
        f"{numbers} <b style='color:{RIGHT}'>Green</b>: right after this glimpse. "
        f"<b style='color:{WRONG}'>Red, dashed</b>: wrong. Wrong last answers come first."
    )


def _card(look: Look, names: list[str]) -> str:
    label = "" if look.label is None else f"<span>label {_class(names, look.label)}</span>"
    panels = "".join(_panel(look, at, names) for at in range(len(look.glimpses)))
    panels += "".join(_heat(look, at) for at in range(len(look.attention)))
    return (
        f"<section><h2>{html.escape(look.name)}{label}</h2>"
        f"<div class='row'>{_boxes(look)}{panels}</div></section>"
    )


def _boxes(look: Look) -> str:
    """The thumbnail with the box of every glimpse but the first, as SVG."""
    height, width = look.thumbnail.shape[1:]
    size = max(height, width) / 16
    shapes = []
    for at, region in enumerate(look.regions.tolist()):
        if at == 0:
            continue
        box = region_box(region, height, width)
        color, dash = _mark(look, look.step_of_look[at])
        shapes.append(
            f"<rect x='{box.left:.1f}' y='{box.top:.1f}' width='{box.width:.1f}' "
            f"height='{box.height:.1f}' stroke='{color}'{dash}/>"
            f"<text x='{box.left + size / 4:.1f}' y='{box.top + size:.1f}' font-size='{size:.1f}' "
            f"fill='{color}'>{at + 1}</text>"
        )
    return (
        f"<figure><svg viewBox='-1 -1 {width + 2} {height + 2}' class='scene'>"
        f"<image href='{_data_uri(look.thumbnail)}' width='{width}' height='{height}'/>"
        f"{''.join(shapes)}</svg>"
        f"<figcaption>{look.width} x {look.height}</figcaption></figure>"
    )


def _panel(look: Look, at: int, names: list[str]) -> str:
    """Look ``at`` with the answer after its step."""
    step = look.step_of_look[at]
    color, _ = _mark(look, step)
    sign = "" if look.right is None else "✓ " if look.right[step] else "✗ "
    return (
        f"<figure><img alt='glimpse {at + 1}' src='{_data_uri(look.glimpses[at])}' "
        f"style='border-color:{color}'>"
        f"<figcaption><b style='color:{color}'>{sign}{_class(names, look.predictions[step])}</b> "
        f"{100 * look.confidences[step]:.0f} %<br>{at + 1}: "
        f"s&nbsp;=&nbsp;{float(region_scale(look.regions[at])):.2f}</figcaption></figure>"
    )


def _heat(look: Look, at: int) -> str:
    """The image under the attention to map ``at``."""
    weights = look.attention[at]
    height, width = weights.shape
    return (
        f"<figure><img alt='attention to map {at + 1}' style='border-color:transparent' "
        f"src='{_data_uri(heat_over(look.thumbnail, weights))}'>"
        f"<figcaption>attention to map {at + 1} of {len(look.attention)}<br>{height} x {width}, "
        f"largest {float(weights.max()):.2g}</figcaption></figure>"
    )


def _mark(look: Look, step: int) -> tuple[str, str]:
    """Colour and SVG attribute of the dashes."""
    if look.right is None:
        return UNKNOWN, ""
    return (RIGHT, "") if look.right[step] else (WRONG, " stroke-dasharray='5 3'")


def _class(names: list[str], label: int) -> str:
    return html.escape(names[label]) if 0 <= label < len(names) else str(label)


def _data_uri(pixels: Tensor) -> str:
    array = pixels.permute(1, 2, 0).numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3])
    kind = "png" if image.width * image.height <= _PNG_BELOW or array.shape[2] == 1 else "jpeg"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 88} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
