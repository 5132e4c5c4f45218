"""Results of the engine as the tensors of a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..engine.schedule.open_stream import Left
from .errors import INTERNAL, RequestError
from .protocol.tensors import BYTES, Tensor
from .served_model import CLASS_NAME, EVERY_ANSWER, ServedModel

_DTYPES = {"INT64": np.int64, "FP32": np.float32}


def output_tensors(
    model: ServedModel, results: Sequence[Left], names: Sequence[str]
) -> list[Tensor]:
    """The outputs ``names`` for the images of a request.

    Rows of images with fewer looks or glimpses than others of the request end in zeros;
    ``glimpses`` tells how many count.

    Raises:
        RequestError: the network's answer is not finite.
    """
    if not all(each.prediction.finite for each in results):
        raise RequestError(INTERNAL, "the network's answer is not finite: its weights are damaged")
    looks = model.looks
    make: dict[str, Callable[[Left], object]] = {
        "label": lambda left: left.prediction.label,
        "confidence": _confidence,
        "glimpses": lambda left: left.prediction.glimpses,
        "logits": lambda left: left.prediction.logits.numpy(),
        "regions": lambda left: left.prediction.regions.numpy(),
        "glimpse_of_region": lambda left: np.repeat(
            np.arange(1, left.prediction.glimpses + 1), looks[: left.prediction.glimpses]
        ),
        EVERY_ANSWER: lambda left: left.answers.numpy() if left.answers is not None else None,
    }
    tensors = []
    for name in names:
        if name == CLASS_NAME:
            assert model.classes is not None
            named = [model.classes[each.prediction.label].encode() for each in results]
            tensors.append(Tensor(name, BYTES, (len(named),), named))
            continue
        datatype = model.outputs[name].datatype
        values = _stacked([np.asarray(make[name](left)) for left in results], _DTYPES[datatype])
        tensors.append(Tensor(name, datatype, values.shape, values))
    return tensors


def _confidence(left: Left) -> float:
    return float(left.prediction.logits.softmax(0)[left.prediction.label])


def _stacked(rows: list[np.ndarray], dtype: type) -> np.ndarray:
    """Rows of different lengths on top of each other, filled up with zeros."""
    if rows[0].ndim == 0:
        return np.array(rows, dtype)
    stacked = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), dtype)
    for filled, row in zip(stacked, rows, strict=True):
        filled[: len(row)] = row
    return stacked
