"""Engines of TensorRT and TensorRT-RTX: requirements, writing and running.

TensorRT builds on the GPU that will run the engine. TensorRT-RTX builds without a GPU; its file is
finished on the user's GPU when it is loaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from torch import Tensor

from ...engine.artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS
from ...engine.artefacts.tensorrt_library import (
    FULL,
    INSTALL,
    NO_DEVICE,
    RTX,
    import_library,
    is_installed,
    no_device,
)
from ...engine.artefacts.tensorrt_session import EngineSession
from ...models import MGNet
from ..graphs.loop import INPUT_NAME, OUTPUT_NAMES, SERVED_NAMES, output_names
from ..options import ExportOptions, SizeRange
from .onnx import write_onnx
from .tensorrt_build import Profile, ShapeRange, build_engine, build_with_trtexec

TRTEXEC = "trtexec"


def stand_in_of(path: Path) -> Path:
    """The ONNX file that an engine is built from, kept beside it during the export."""
    return path.with_name(f"{path.name}.onnx")


def check_tensorrt() -> None:
    """Raise ImportError or RuntimeError if no TensorRT engine can be built."""
    if not is_installed(FULL) and shutil.which(TRTEXEC) is None:
        raise ImportError(
            f"TensorRT is not installed, nor is {TRTEXEC} on PATH: {INSTALL[FULL]}; "
            "engines for later can be built without a GPU with --format tensorrt-rtx"
        )
    if no_device():
        raise RuntimeError(
            f"TensorRT builds on the GPU that will run the engine, but {NO_DEVICE}: "
            "take --format onnx here and build there, or --format tensorrt-rtx"
        )
    if is_installed(FULL):
        import_library(FULL)


def check_tensorrt_rtx() -> None:
    """Raise ImportError if no TensorRT-RTX engine can be built."""
    import_library(RTX)


def write_tensorrt(
    model: MGNet,
    path: Path,
    options: ExportOptions,
    *,
    calibration: Iterable[Tensor] | None = None,
    timing_cache: str | os.PathLike[str] | None = None,
) -> None:
    """Write the engine of loop or step for this machine's GPU; its ONNX file stays beside it.

    Uses the Python module ``tensorrt``, or ``trtexec`` if only that is available. ``timing_cache``
    (default: one file per version in the user's cache folder) speeds up later builds of the same
    layers.

    Raises:
        ImportError, RuntimeError: see :func:`check_tensorrt`.
        ValueError: the options do not fit the network, or TensorRT is too old.
    """
    check_tensorrt()
    write_onnx(model, stand_in_of(path), options, calibration=calibration, symmetric=True)
    profile = profile_of(model, options)
    if not is_installed(FULL):
        cache = timing_cache or timing_cache_path(TRTEXEC)
        build_with_trtexec(stand_in_of(path), path, profile, timing_cache=cache)
        return
    library = import_library(FULL)
    cache = timing_cache or timing_cache_path(library.__version__)
    build_engine(library, stand_in_of(path), path, profile, timing_cache=cache)


def write_tensorrt_rtx(model: MGNet, path: Path, options: ExportOptions) -> None:
    """Write the engine of loop or step for RTX GPUs, on any machine; its ONNX file stays beside it.

    Raises:
        ImportError: TensorRT-RTX is not installed.
        RuntimeError: the built network has unexpected inputs or outputs.
        ValueError: the options do not fit the network.
    """
    library = import_library(RTX)
    write_onnx(model, stand_in_of(path), options)
    built = build_engine(library, stand_in_of(path), path, profile_of(model, options))
    is_step = options.what == "step"
    _check_names(built["inputs"], STEP_INPUTS if is_step else (INPUT_NAME,))
    _check_names(built["outputs"], STEP_OUTPUTS if is_step else output_names(model, options))


def profile_of(model: MGNet, options: ExportOptions) -> Profile:
    """The input shapes that an engine is built for."""
    channels, sizes, batch = model.config.in_chans, options.engine_sizes(), options.batch
    if options.sampling == "outside":
        size = options.glimpse_shape(model.config)
        sizes = SizeRange(size, size, size)

    def shape(count: int, size: tuple[int, int]) -> tuple[int, ...]:
        return (count, *size, channels) if options.input == "uint8" else (count, channels, *size)

    profile = {
        INPUT_NAME: ShapeRange(
            shape(batch.low, sizes.low),
            shape(batch.usual, sizes.usual),
            shape(batch.high, sizes.high),
        )
    }
    if options.what == "step":
        state = ((3,), (options.steps(model.config), model.loc_network.fc.in_features), ())
        for name, rest in zip(STEP_INPUTS[1:], state, strict=True):
            profile[name] = ShapeRange(
                (batch.low, *rest), (batch.usual, *rest), (batch.high, *rest)
            )
    return profile


def timing_cache_path(version: str) -> Path:
    """The timing cache of this version; caches are invalid for other versions."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "mgnet_fast" / f"tensorrt-{version}.timing"


def load_engine(name: str, path: str | os.PathLike[str]) -> Callable[..., tuple[Tensor, ...]]:
    """The engine's function from inputs to outputs, both on the CPU.

    Args:
        name: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        path: the engine of a loop or a step.

    Raises:
        ImportError: the library is not installed.
        ValueError: it cannot load the engine.
    """
    session = EngineSession(import_library(name), path)
    inputs = STEP_INPUTS if len(session.inputs) > 1 else (INPUT_NAME,)
    outputs = next(
        names
        for names in (STEP_OUTPUTS, SERVED_NAMES, OUTPUT_NAMES)
        if set(names) == set(session.outputs)
    )

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        on_device = [each.to(session.device) for each in given]
        found = session(dict(zip(inputs, on_device, strict=True)))
        return tuple(found[each].cpu() for each in outputs)

    return run


load_tensorrt = partial(load_engine, FULL)
load_tensorrt_rtx = partial(load_engine, RTX)


def why_tensorrt_cannot_run(path: Path) -> str | None:
    """Why a newly built engine cannot be run from Python, or None."""
    return None if is_installed(FULL) else f"{TRTEXEC} built it, but the module tensorrt is missing"


def why_rtx_cannot_run(path: Path) -> str | None:
    """Why the engine cannot run on this machine, or None."""
    reason = no_device()
    if reason is not None:
        return reason
    library = import_library(RTX)
    runtime = library.Runtime(library.Logger(library.Logger.ERROR))
    with path.open("rb") as file:
        header = file.read(runtime.engine_header_size)
    validity, diagnostics = runtime.get_engine_validity(header)
    if validity != library.EngineValidity.INVALID:
        return None
    causes = [
        name
        for name, cause in library.EngineInvalidityDiagnostics.__members__.items()
        if int(cause) & int(diagnostics)
    ]
    return (
        f"TensorRT-RTX says that it does not run on this GPU ({', '.join(causes) or 'no reason'})"
    )


def _check_names(found: dict[str, object], wanted: tuple[str, ...]) -> None:
    if tuple(found) != wanted:
        raise RuntimeError(f"the engine must have the tensors {wanted}, got {tuple(found)}")
