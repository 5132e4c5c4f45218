"""Ray Data: a classifier for ``Dataset.map_batches``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .bulk.rows import Row, plain, regions
from .bulk.scoring import Network, Scorer, Settings
from .bulk.units import Item
from .engine import Confidence, ExitRule

__all__ = ["Classifier"]


class Classifier:
    """Classifies the images of batches, for ``Dataset.map_batches``.

    .. code-block:: python

        photos = ray.data.read_binary_files("photos/", include_paths=True)
        photos.map_batches(Classifier, fn_constructor_args=("net.safetensors",), concurrency=4)

    A batch has one of these columns; the first one that is there counts:

    - "image": uint8 arrays [H, W, C] with the network's channels, or [H, W] for one, as
      ``ray.data.read_images(..., mode="RGB")`` or ``mode="L"`` gives them;
    - "bytes": image files, as ``ray.data.read_binary_files`` gives them;
    - "path": paths or URLs, which the worker reads.

    Results are the other columns, and "label" (-1 without one), "class" (if the checkpoint has
    names), "probability" (NaN without a label), "glimpses", "finite", "regions" and "error": why an
    image cannot be read, or "". Columns and values are those of ``mgnet-fast predict``.

    Args:
        checkpoint: path of the network; default: the shipped toy network. Workers read it.
        exit: when an image leaves; default: ``Confidence(0.9)``.
        slots, precision, weights, runner, artefact, device: of :class:`mgnet_fast.Engine`. "auto"
            may choose another runner in each worker; name one to get the same bits everywhere.
        decode, ignore_exif, allow_truncated: of files, as in ``mgnet-fast predict``.
        threads: torch's threads; default: the worker's CPUs (``num_cpus`` of ``map_batches``).

    Raises:
        OSError, TypeError, ValueError: an argument does not fit.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        *,
        exit: ExitRule | None = None,
        slots: int = 32,
        precision: str = "fp32",
        weights: str = "fp32",
        runner: str = "auto",
        artefact: str | None = None,
        device: str = "cpu",
        decode: str = "auto",
        ignore_exif: bool = False,
        allow_truncated: bool = False,
        threads: int | None = None,
    ) -> None:
        torch.set_num_threads(threads or _assigned_cpus())
        settings = Settings(
            checkpoint=checkpoint,
            exit=Confidence() if exit is None else exit,
            slots=slots,
            precision=precision,
            weights=weights,
            runner=runner,
            artefact=artefact,
            decode=decode,
            ignore_exif=ignore_exif,
            allow_truncated=allow_truncated,
            device=device,
        )
        self._scorer = Scorer(settings, Network(settings))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The results of a batch, in order.

        Raises:
            ValueError: it has no column of images.
        """
        rows = list(self._rows(batch))
        classes = self._scorer.network.classes
        values = [plain(row, classes) | {"regions": regions(row)} for row in rows]
        results = {name: column for name, column in batch.items() if name not in ("image", "bytes")}
        results["label"] = _column(values, "label", -1, np.int32)
        if classes is not None:
            results["class"] = np.array([value["class"] or "" for value in values])
        results["probability"] = _column(values, "probability", np.nan, np.float32)
        results["glimpses"] = _column(values, "glimpses", 0, np.int32)
        results["finite"] = _column(values, "finite", False, np.bool_)
        results["regions"] = [value["regions"] or [] for value in values]
        results["error"] = np.array([row.error or "" for row in rows])
        return results

    def _rows(self, batch: dict[str, Any]) -> Iterator[Row]:
        count = len(next(iter(batch.values()))) if batch else 0
        names = [str(name) for name in batch.get("path", range(count))]
        if "image" in batch:
            results = self._scorer.engine.stream(map(_with_channels, batch["image"]))
            for name, prediction in zip(names, results, strict=True):
                yield Row(name, prediction)
            return
        if "bytes" in batch:
            data: list[bytes | None] = [bytes(each) for each in batch["bytes"]]
        elif "path" in batch:
            data = [None] * count
        else:
            raise ValueError(
                f"a batch must have the column image, bytes or path, got {', '.join(batch)}"
            )
        items = (
            Item(0, place, name, content, place == count - 1)
            for place, (name, content) in enumerate(zip(names, data, strict=True))
        )
        for _, row in self._scorer.rows(items):
            yield row


def _with_channels(image: Any) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _column(values: list[dict[str, Any]], name: str, missing: Any, dtype: Any) -> Any:
    """A column of plain values, with ``missing`` for None."""
    return np.array([missing if v[name] is None else v[name] for v in values], dtype=dtype)


def _assigned_cpus() -> int:
    """The CPUs that Ray has given this worker; 1 outside of Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return 1
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
