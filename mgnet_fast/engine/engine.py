"""The engine: classifies a stream of images glimpse by glimpse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.reading.file_image import FileImage
from ..models import GlimpseNetwork
from ..models.network import check_network, has_own_glimpse_size
from ..models.regions import smallest_look
from .deviation import Deviation, measure_deviation
from .device_loop.loop import GraphLoop
from .exits import Confidence, ExitDecision, ExitRule
from .prediction import Prediction
from .runners.choice import choose_runner
from .runners.cudagraph import CudaGraphRunner
from .runners.kind import RunnerRequest
from .schedule.every_glimpse import every_glimpse
from .schedule.file_places import FilePlaces, FirstDecides, decoded, prepared
from .schedule.image_batches import calibration_batches, check_batch
from .schedule.image_places import BatchPlaces, Places, StreamPlaces
from .schedule.open_stream import OpenStream
from .schedule.read_ahead import ReadAhead, Source
from .schedule.slot_loop import SlotLoop


class Engine:
    """Classifies images by as few glimpses as each of them needs.

    A fixed number of slots hold one image each. Every step takes one glimpse of each image. Images
    that the network is sure of leave, and the next ones take their slots. So images at different
    glimpses share a batch, and an early exit saves time, not only arithmetic.

    Args:
        model: the network. The engine copies its weights once.
        device: where to run.
        precision: of the backbone: "fp32", "bf16", "fp16" or, on the CPU, "int8" (8-bit integers
            calibrated on the ``calibration`` images). Everything after the backbone runs in
            float32.
        slots: number of images in flight. 1 gives the lowest latency, more give a higher
            throughput.
        runner: the implementation of a step: "eager", "channels_last", "packed", "compiled"
            (``torch.compile`` takes tens of seconds first), "openvino" or "onnxruntime" (these
            libraries run the backbone, any module that ``torch.export`` can export; optional), on
            a GPU "tensorrt" (loads an exported step) or "cudagraph" (the whole step is one graph,
            and results are read one step late, so images are taken before the results of earlier
            ones are known), or "auto". "auto" builds the runners that can run and need no compiler
            and no artefact, times them, and takes the fastest. It may choose another one next
            time, and runners round differently: name one to get the same bits in every run.
        artefact: path of an exported step (``mgnet-fast export --what step``): ``.plan`` for
            "tensorrt", or ``.onnx`` for "onnxruntime", which then runs the file instead of the
            backbone. ``precision`` must be that of the file.
        exit: when an image leaves.
        calibration: image batches [B, C, H, W], read once and kept until the engine is built.
            int8 needs a hundred or more images like those to come. In any precision,
            ``deviation`` is measured on them.
        weights: how a float32 backbone stores its weights: "fp32", "fp16" or "int8" (with one
            scale per output channel). The arithmetic stays float32. Other than "fp32" needs the
            runner "packed", and changes results, so give ``calibration`` and look at
            ``deviation``.
        tolerance: lets "auto" round. It then also tries lower precisions of the backbone and of
            its weights, and takes the fastest runner whose logits on the ``calibration`` images
            differ by at most ``tolerance`` times the largest logit from float32
            (``deviation.logit_max``). Building all of them can take minutes. ``precision`` and
            ``weights`` then tell the choice.

    Attributes:
        runner: the name of the runner.
        reason: why it was chosen.
        deviation (Deviation | None): the difference from the eager float32 network on the
            calibration images; None without them.

    An engine serves one stream at a time; a second one raises. It can be pickled, sent to worker
    processes (spawn, Ray) and deep-copied: each copy rebuilds its runner.

    Raises:
        TypeError, ValueError: an argument does not fit.
    """

    def __init__(
        self,
        model: GlimpseNetwork,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        slots: int = 64,
        runner: str = "auto",
        artefact: str | Path | None = None,
        exit: ExitRule | None = None,
        calibration: Iterable[Tensor] | None = None,
        weights: str = "fp32",
        tolerance: float | None = None,
    ) -> None:
        check_network(model)
        self.slots = _checked_slots(slots)
        self.model = model
        self.exit: ExitRule = Confidence(0.9) if exit is None else exit
        # checks the rule before slow work
        ExitDecision(self.exit, model.config.num_glimpses, "cpu")
        batches = None
        if calibration is not None:
            batches = calibration_batches(calibration, model.config.in_chans)
        self._artefact = None if artefact is None else Path(artefact)
        self.deviation: Deviation | None = None
        self._prepare(torch.device(device), precision, runner, batches, {}, weights, tolerance)
        if batches is not None and self.deviation is None:
            self.deviation = measure_deviation(self._runner, model, batches, self.slots)

    def _prepare(
        self,
        device: torch.device,
        precision: str,
        runner: str,
        calibration: tuple[Tensor, ...] | None,
        measurements: dict[str, Any],
        weights: str,
        tolerance: float | None = None,
    ) -> None:
        """Build the runner and what it needs."""
        request = RunnerRequest(
            self.model,
            device,
            precision,
            self.slots,
            self._artefact,
            calibration,
            measurements,
            weights,
            tolerance,
        )
        chosen = choose_runner(request, runner)
        self.precision, self.weights = chosen.precision, chosen.weights
        self.deviation = chosen.deviation
        self.runner, self.reason = chosen.name, chosen.reason
        self.device = chosen.runner.device
        self._runner = chosen.runner
        self._measurements = {
            name: found for name, found in measurements.items() if name == chosen.name
        }
        self._decision = ExitDecision(self.exit, self.model.config.num_glimpses, self.device)
        self._busy = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the network and the choices, not the runner.

        Unpickling rebuilds the engine with the chosen runner and, in int8, what it measured, so
        the results have the same bits on the same kind of machine. A running stream is not copied.
        """
        choices = {
            "device": str(self.device),
            "precision": self.precision,
            "weights": self.weights,
            "runner": self.runner,
            "slots": self.slots,
            "artefact": self._artefact,
            "exit": self.exit,
            "measurements": self._measurements,
            "deviation": self.deviation,
            "reason": self.reason,
        }
        return _rebuilt, (self.model, choices)

    def with_exit(self, exit: ExitRule) -> Engine:
        """An engine with another exit rule that shares everything else with this one.

        Raises:
            TypeError, ValueError: the rule does not fit.
        """
        other = object.__new__(Engine)
        other.__dict__.update(self.__dict__)
        other.exit = exit
        other._decision = ExitDecision(exit, self.model.config.num_glimpses, self.device)
        return other

    def stream(
        self, images: Tensor | Iterable[Tensor | np.ndarray | FileImage], *, read_ahead: int = 0
    ) -> Iterator[Prediction]:
        """Classify images as they come; yield the results in the order of the images.

        Images are taken from ``images`` only as slots become free, and results wait only for those
        of earlier images, so memory stays constant for any length of stream.

        Args:
            images: [C, H, W] each, of one dtype and any size. Float tensors are used as they are;
                uint8 tensors, and NumPy arrays [H, W, C] of uint8, are divided by 255 and
                normalised by the config's mean and std. A tensor [B, C, H, W] is read in place.
                Or files (:func:`mgnet_fast.open_image`), all of them: each glimpse decodes what it
                needs, and files are closed as they leave. A file that turns out to be damaged or
                gone gives NaN, and its ``error`` says why.
            read_ahead: how many images a reader thread may read in advance; 0 reads them in this
                thread. With a reader thread the engine continues with the images it has while the
                next one is not available.

        If ``images`` raises, the results of all earlier images come first, then the error.

        Raises:
            RuntimeError: another stream of this engine is unfinished.
            TypeError, ValueError: an image does not fit; raised after the results of earlier ones.
        """
        if read_ahead < 0:
            raise ValueError(f"read_ahead must be at least 0, got {read_ahead}")
        config = self._runner.config
        if isinstance(images, Tensor):
            check_batch(images, config.in_chans)
            batch = images.detach().to(self.device)
            return self._run(lambda: Source(range(len(batch))), lambda: BatchPlaces(batch))
        if not isinstance(images, Iterable):
            raise TypeError(
                f"images must be a Tensor or an iterable of images, got {type(images).__name__}"
            )
        one_size = not has_own_glimpse_size(config)
        if one_size or isinstance(self._runner, CudaGraphRunner):
            images = decoded(images)  # whole: their glimpses are the image, or it is on the device
        else:
            images = prepared(images, config.glimpse_shape((0, 0)), smallest_look(config))
        source = partial(ReadAhead, images, read_ahead) if read_ahead else partial(Source, images)
        return self._run(source, lambda: self._new_places(one_size))

    @contextmanager
    def open_stream(self) -> Iterator[OpenStream]:
        """A stream whose images enter one by one when a slot is free, and leave in any order.

        Raises:
            RuntimeError: another stream of this engine is unfinished.
            ValueError: the runner "cudagraph" decides on the device and has no such streams.
        """
        if isinstance(self._runner, CudaGraphRunner):
            raise ValueError("the runner cudagraph has no open streams; name another runner")
        one_size = not has_own_glimpse_size(self._runner.config)
        with self._claimed():
            yield OpenStream(
                self._runner,
                self._decision,
                self.slots,
                lambda: self._new_places(one_size),
                one_size=one_size,
            )

    def predict(
        self, batch: Tensor | Iterable[Tensor | np.ndarray | FileImage]
    ) -> list[Prediction]:
        """The results of all images of ``batch``, in order; see :meth:`stream` for the types."""
        return list(self.stream(batch))

    def logits_after_each(self, images: Tensor) -> Tensor:
        """Class logits of ``images`` [B, C, H, W] after each glimpse: [T, B, K] on the CPU.

        No image leaves early. Use these logits to choose an exit rule.

        Raises:
            RuntimeError: a stream of this engine is unfinished.
            TypeError, ValueError: the images do not fit.
        """
        check_batch(images, self._runner.config.in_chans)
        with self._claimed():
            return every_glimpse(self._runner, images, self.slots)[0]

    def __repr__(self) -> str:
        return (
            f"Engine({self.runner}, {self.device}, {self.precision}, slots={self.slots}, "
            f"exit={self.exit})"
        )

    def _run(
        self, source: Callable[[], Source[Any]], places: Callable[[], Places]
    ) -> Iterator[Prediction]:
        with self._claimed(), closing(source()) as taken:
            yield from self._loop(taken, places()).predictions()

    def _new_places(self, one_size: bool) -> Places:
        kind = self.slots, self._runner.config.in_chans, self.device
        return FirstDecides(FilePlaces(*kind), StreamPlaces(*kind, one_size=one_size))

    def _loop(self, source: Source[Any], places: Places) -> SlotLoop | GraphLoop:
        if not isinstance(self._runner, CudaGraphRunner):
            return SlotLoop(self._runner, self._decision, self.slots, source, places)
        batch = places.images if isinstance(places, BatchPlaces) else None
        return GraphLoop(self._runner.state, self._decision, source, batch)

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                "this engine is in the middle of a stream; finish or close() that one first, or "
                "make an Engine for each thread"
            )
        try:
            yield
        finally:
            self._busy.release()


def _rebuilt(model: GlimpseNetwork, choices: dict[str, Any]) -> Engine:
    """Rebuild an engine from what :meth:`Engine.__reduce__` stored."""
    engine = object.__new__(Engine)
    engine.model, engine.exit = model, choices["exit"]
    engine.slots, engine._artefact = choices["slots"], choices["artefact"]
    engine._prepare(
        torch.device(choices["device"]),
        choices["precision"],
        choices["runner"],
        None,
        choices["measurements"],
        choices["weights"],
    )
    engine.deviation, engine.reason = choices["deviation"], choices["reason"]
    return engine


def _checked_slots(slots: object) -> int:
    if not isinstance(slots, int) or isinstance(slots, bool):
        raise TypeError(f"slots must be an int, got {slots!r}")
    if slots < 1:
        raise ValueError(f"slots must be at least 1, got {slots}")
    return slots
