"""``mgnet-fast serve``: answer requests over HTTP."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from .. import console
from ..options import shared as options
from ..options.engine import SAMPLES, Artefact, Precision, Runner, Slots, Weights
from ..options.exits import Exit, Threshold, exit_rule
from ..options.export import read_names
from ..options.option import option
from ..options.reading import Decode

if TYPE_CHECKING:
    from torch import Tensor

NEEDED = ("starlette", "uvicorn", "httptools", "pydantic", "prometheus_client")
_MEBI = 1 << 20


def serve(
    former: options.FormerCheckpoint = None,
    checkpoint: options.Checkpoint = None,
    host: Annotated[
        str, option("NAME", "Address to listen at; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, option("N", "Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    name: Annotated[str, option("NAME", "Name of the model.")] = "mgnet",
    labels: Annotated[
        Path | None,
        option(
            "FILE",
            "Text file with one class name per line.",
            show_default="the checkpoint's, else numbers",
        ),
    ] = None,
    leave: Exit = "confidence",
    threshold: Threshold = None,
    slots: Slots = 32,
    queue: Annotated[int, option("N", "Images that may wait for a slot.", min=1)] = 256,
    timeout: Annotated[
        float, option("S", "Seconds for receiving a request, and for answering it.")
    ] = 30.0,
    body: Annotated[
        int, option("MIB", "Largest body of a request, in MiB.", "--max-body", min=1)
    ] = 32,
    pixels: Annotated[
        int, option("MPIX", "Largest image, in megapixels.", "--max-pixels", min=1)
    ] = 64,
    memory: Annotated[
        int,
        option(
            "MIB",
            "Bodies and decoded images in memory at once, in MiB.",
            "--max-memory",
            min=1,
        ),
    ] = 1024,
    connections: Annotated[
        int, option("N", "Connections at once.", "--max-connections", min=1)
    ] = 1000,
    decoders: Annotated[int, option("N", "Threads that decode image files.", min=1)] = 1,
    precision: Precision = "fp32",
    weights: Weights = "fp32",
    calibration: Annotated[
        Path | None,
        option(
            "DIR",
            f"Images, of which the first {SAMPLES} calibrate; needed by --precision int8.",
            show_default=False,
        ),
    ] = None,
    runner: Runner = "auto",
    artefact: Artefact = None,
    decode: Decode = "auto",
    threads: options.Threads = None,
    device: options.Device = "cpu",
) -> None:
    """Answer requests over HTTP in the Open Inference Protocol v2; see docs/serving.md."""
    _check_libraries()
    network = options.one_network(checkpoint, former)
    from ...data.reading.errors import large_images
    from ...data.reading.options import is_lazy
    from ...engine import Engine
    from ...models.files.checkpoints import load_checkpoint
    from ...models.files.trained_on import read_trained_on
    from ...serving.limits import Limits
    from ...serving.served_model import ServedModel
    from ...serving.server import serve as serve_app
    from ...serving.service import service
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    limits = Limits(
        queue=queue,
        queue_bytes=memory * _MEBI,
        body_bytes=body * _MEBI,
        pixels=pixels * 1_000_000,
        seconds=timeout,
        connections=connections,
    )
    model = load_checkpoint(network)
    trained = read_trained_on(network)
    classes = read_names(labels) or (trained.classes if trained else None)
    served = ServedModel(name, model, classes, is_lazy(decode, model))
    rule = exit_rule(leave, threshold)
    with ExitStack() as stack:
        stack.enter_context(fixed_threads(threads))
        stack.enter_context(large_images())  # up to --max-pixels
        engine = Engine(
            model,
            device_for(device, Workers()),
            precision,
            slots,
            runner,
            artefact,
            exit=rule,
            calibration=_calibration(calibration, model.config.in_chans),
            weights=weights,
        )
        screen = console.output()

        def is_up(address: str) -> None:
            screen.print(
                f"serving {name} at {address} ({engine.runner}, {slots} slots); the page is "
                f"{address}/, metrics are at {address}/metrics",
                soft_wrap=True,
            )

        serve_app(service(served, engine, limits, decoders), host, port, limits, is_up)
        screen.print("stopped; everything in flight was answered")


def _check_libraries() -> None:
    missing = [each for each in NEEDED if importlib.util.find_spec(each) is None]
    if missing:
        raise ImportError(
            f"mgnet-fast serve needs {', '.join(missing)}: pip install 'mgnet-fast[serve]'"
        )


def _calibration(folder: Path | None, channels: int) -> list[Tensor] | None:
    if folder is None:
        return None
    from ...bulk.scoring import first_images
    from ...bulk.units import items_of, units_of
    from ...data.reading.options import ReadOptions
    from ...data.sources.listing import find_sources

    names, _ = find_sources([str(folder)])
    items = (item for unit in units_of(names, SAMPLES) for item in items_of(unit))
    return first_images(items, ReadOptions(channels), SAMPLES)
