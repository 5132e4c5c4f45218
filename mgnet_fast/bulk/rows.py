"""A result as a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine import Prediction

COLUMNS = ("path", "label", "probability", "glimpses", "finite")


@dataclass(frozen=True, slots=True)
class Row:
    """The result of an image.

    Attributes:
        path: of the image.
        prediction: of the engine, None for an image that cannot be read.
        error: why it cannot be read, or None.
    """

    path: str
    prediction: Prediction | None
    error: str | None = None


def plain(row: Row, classes: Sequence[str] | None) -> dict[str, Any]:
    """A row as plain values, without regions: ``COLUMNS``, and "class" if classes have names.

    An image that could not be read has None everywhere but in the path; one whose logits are not
    finite has no label and no probability.
    """
    values: dict[str, Any] = dict.fromkeys(COLUMNS) | {"path": row.path}
    if classes is not None:
        values["class"] = None
    prediction = row.prediction
    if prediction is None:
        return values
    values["glimpses"] = prediction.glimpses
    values["finite"] = prediction.finite
    if prediction.finite:
        values["label"] = prediction.label
        probability = float(prediction.logits.softmax(0)[prediction.label])
        values["probability"] = round(probability, 6)
        if classes is not None:
            values["class"] = classes[prediction.label]
    return values


def regions(row: Row) -> list[list[float]] | None:
    """The regions looked at, or None for an image that could not be read."""
    if row.prediction is None:
        return None
    return [[round(x, 6) for x in region] for region in row.prediction.regions.tolist()]
