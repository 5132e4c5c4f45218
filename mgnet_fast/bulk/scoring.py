"""An engine with its way of reading files, and the rows it makes of a stream of items."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..assets import toy_checkpoint_path
from ..data.reading.errors import large_images, truncated_images
from ..data.reading.file_image import FileImage, open_data, open_file
from ..data.reading.options import ReadOptions, is_lazy
from ..data.reading.whole import read_image
from ..data.sources import urls
from ..data.sources.ahead import read_ahead
from ..engine import Confidence, Engine, ExitRule
from ..models import GlimpseNetwork
from ..models.files.checkpoints import load_checkpoint
from ..models.files.trained_on import read_trained_on
from ..training.distributed import Workers, device_for
from .rows import Row
from .units import Item, said

REMOTE_READERS = 8
Image = np.ndarray | FileImage


@dataclass(frozen=True)
class Settings:
    """How images are scored; see :class:`mgnet_fast.Engine` and ``mgnet-fast predict``.

    Attributes:
        checkpoint: of the network, None for the shipped toy network.
        exit, slots, precision, weights, runner, artefact: of the engine.
        decode: "auto", "lazy" or "full".
        ignore_exif, allow_truncated: of :class:`ReadOptions`.
        device: where to run.
        readers: threads that read and decode; None: one, or eight for URLs.
    """

    checkpoint: str | None = None
    exit: ExitRule = field(default_factory=Confidence)
    slots: int = 32
    precision: str = "fp32"
    weights: str = "fp32"
    runner: str = "auto"
    artefact: str | None = None
    decode: str = "auto"
    ignore_exif: bool = False
    allow_truncated: bool = False
    device: str = "cpu"
    readers: int | None = None

    def decisive(self) -> dict[str, Any]:
        """What results depend on, as plain values; without the network."""
        values = asdict(self)
        for name in ("checkpoint", "slots", "readers"):
            del values[name]
        return values | {"exit": repr(self.exit)}


class Network:
    """A network from its file: what can be known before an engine is built.

    Raises:
        OSError, ValueError: the file is missing or damaged, or a setting does not fit.
    """

    def __init__(self, settings: Settings) -> None:
        path = settings.checkpoint or toy_checkpoint_path()
        self.model: GlimpseNetwork = load_checkpoint(path)
        trained = read_trained_on(path)
        self.classes = None if trained is None else list(trained.classes)
        self.lazy = is_lazy(settings.decode, self.model)
        self.reading = ReadOptions(
            self.model.config.in_chans, settings.ignore_exif, settings.allow_truncated
        )


class Scorer:
    """Makes rows of items.

    Args:
        settings: how.
        network: of ``settings``.
        calibration: image batches for the engine, or None.

    Raises:
        TypeError, ValueError: a setting does not fit.
    """

    def __init__(
        self, settings: Settings, network: Network, calibration: list[Tensor] | None = None
    ) -> None:
        self.settings, self.network = settings, network
        self.engine = Engine(
            network.model,
            device_for(settings.device, Workers()),
            settings.precision,
            settings.slots,
            settings.runner,
            settings.artefact,
            exit=settings.exit,
            calibration=calibration,
            weights=settings.weights,
        )

    def rows(self, items: Iterable[Item], readers: int = 1) -> Iterator[tuple[Item, Row]]:
        """The rows of items, in order; an image that cannot be read has its reason in its row.

        Items come without their bytes. If ``items`` raises, the rows of earlier items come first.
        """
        # Neither pixels nor compressed bytes, which would stay in memory until their turn.
        waiting: deque[_Waiting] = deque()

        def images() -> Iterator[Image]:
            for item, image, error in read_ahead(self._read, items, readers):
                file = image if isinstance(image, FileImage) else None
                waiting.append(_Waiting(item._replace(data=None), file, error))
                if image is not None:
                    yield image

        def unreadable() -> Iterator[tuple[Item, Row]]:
            while waiting and waiting[0].error is not None:
                item, _, error = waiting.popleft()
                yield item, Row(item.name, None, error)

        with reading_for(self.settings):
            for prediction in self.engine.stream(images(), read_ahead=self.engine.slots):
                yield from unreadable()
                item, file, _ = waiting.popleft()
                if file is not None and file.error is not None:  # damaged, or has vanished
                    yield item, Row(item.name, None, file.error)
                else:
                    yield item, Row(item.name, prediction)
            yield from unreadable()

    def _read(self, item: Item) -> tuple[Item, Image | None, str | None]:
        if item.error is not None:
            return item, None, item.error
        try:
            return item, _image(item, self.network), None
        except (ValueError, OSError) as error:
            return item, None, said(error) or type(error).__name__


class _Waiting(NamedTuple):
    """An item without its row yet, its file if read lazily, or why it cannot be read."""

    item: Item
    file: FileImage | None
    error: str | None


def _image(item: Item, network: Network) -> Image:
    data, reading = _bytes(item), network.reading
    if not network.lazy:
        return read_image(item.name, reading, data=data)
    if data is None:
        return open_file(Path(item.name), reading)
    return open_data(data, item.name, reading)


def _bytes(item: Item) -> bytes | None:
    """The bytes of an item, None for a local file."""
    return urls.read(item.name) if item.data is None and urls.is_url(item.name) else item.data


def first_images(items: Iterable[Item], reading: ReadOptions, count: int) -> list[Tensor]:
    """The first ``count`` images that can be read, as batches of one.

    Raises:
        ValueError: none can be read.
    """
    found: list[Tensor] = []
    for item in items:
        if item.error is not None:
            continue
        try:
            pixels = read_image(item.name, reading, data=_bytes(item))
        except (ValueError, OSError):
            continue  # reported when its turn comes
        found.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
        if len(found) == count:
            break
    if not found:
        raise ValueError("calibration needs at least one readable image file, got none")
    return found


def readers_for(settings: Settings, names: Iterable[str]) -> int:
    """The number of reading threads: waiting for a server is not work."""
    if settings.readers is not None:
        return settings.readers
    return REMOTE_READERS if any(map(urls.is_url, names)) else 1


@contextmanager
def reading_for(settings: Settings) -> Iterator[None]:
    """Pillow's limits and switches, which are global, set once for all threads."""
    with ExitStack() as stack:
        stack.enter_context(large_images())
        stack.enter_context(truncated_images(settings.allow_truncated))
        yield
