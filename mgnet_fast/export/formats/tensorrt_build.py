"""Builds an engine from an ONNX file, by the builder that TensorRT and TensorRT-RTX share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.artefacts.tensorrt_library import collecting_logger, first_error

Shape = tuple[int, ...]
OLDEST_MAJOR = {"tensorrt": 10, "tensorrt_rtx": 1}


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of an input that an engine accepts, and the one it is tuned for.

    Raises:
        ValueError: they have different ranks or are out of order.
    """

    low: Shape
    usual: Shape
    high: Shape

    def __post_init__(self) -> None:
        in_order = len(self.low) == len(self.usual) == len(self.high) and all(
            0 < low <= usual <= high
            for low, usual, high in zip(self.low, self.usual, self.high, strict=True)
        )
        if not in_order:
            raise ValueError(
                f"shapes must be the smallest, usual and largest of one rank, got {self.low}, "
                f"{self.usual}, {self.high}"
            )


Profile = Mapping[str, ShapeRange]


def build_engine(
    library: Any,
    onnx_file: str | os.PathLike[str],
    engine_file: str | os.PathLike[str],
    profile: Profile,
    *,
    timing_cache: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Build the engine of an ONNX file as a strongly typed network.

    Every tensor has the type given in the file, so an engine in fp16 or int8 is built from a file
    in fp16 or int8.

    Args:
        library: the module ``tensorrt`` (on the GPU that will run the engine) or ``tensorrt_rtx``
            (anywhere).
        onnx_file: of opset 18; GridSample of opset 20 is read wrongly (NVIDIA/TensorRT#4646).
        engine_file: the file to write.
        profile: shapes of every input by name.
        timing_cache: file with the timings of earlier builds, read and written; TensorRT only.

    Returns:
        ``inputs`` and ``outputs`` of the network, name to [dtype, shape] with -1 for open sides,
        and ``bytes``, the size of the engine.

    Raises:
        ValueError: the library is too old or cannot read the file, or the profile does not fit.
        RuntimeError: it cannot build the engine.
    """
    _require_version(library)
    logger = collecting_logger(library)
    builder = library.Builder(logger)
    network = builder.create_network(_strongly_typed(library))
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(os.fspath(onnx_file)):
        reasons = [str(parser.get_error(place).desc()) for place in range(parser.num_errors)]
        raise ValueError(
            f"{library.__name__} {library.__version__} cannot read {os.fspath(onnx_file)}: "
            f"{reasons[0].splitlines()[0] if reasons else first_error(logger)}"
        )
    config = builder.create_builder_config()
    config.clear_flag(library.BuilderFlag.TF32)  # float32 in the file means float32
    config.add_optimization_profile(_profile(builder, network, profile))
    cache = None if timing_cache is None else Path(timing_cache)
    if cache is not None:
        known = cache.read_bytes() if cache.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise RuntimeError(
            f"{library.__name__} {library.__version__} cannot build the engine of "
            f"{os.fspath(onnx_file)}: {first_error(logger)}"
        )
    engine = bytes(built)
    Path(engine_file).write_bytes(engine)
    if cache is not None:
        _replace(cache, bytes(config.get_timing_cache().serialize()))
    return {
        "inputs": _described(network.get_input(i) for i in range(network.num_inputs)),
        "outputs": _described(network.get_output(i) for i in range(network.num_outputs)),
        "bytes": len(engine),
    }


def build_with_trtexec(
    onnx_file: str | os.PathLike[str],
    engine_file: str | os.PathLike[str],
    profile: Profile,
    *,
    timing_cache: str | os.PathLike[str] | None = None,
    program: str = "trtexec",
) -> None:
    """The same by NVIDIA's program, for TensorRT without its Python module.

    Raises:
        FileNotFoundError: there is no such program.
        RuntimeError: it failed; the message has its last lines of output.
    """
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not on PATH")
    command = [
        found,
        f"--onnx={os.fspath(onnx_file)}",
        f"--saveEngine={os.fspath(engine_file)}",
        "--stronglyTyped",
        "--noTF32",
        "--skipInference",
    ]
    for option, shapes in (
        ("minShapes", {name: each.low for name, each in profile.items()}),
        ("optShapes", {name: each.usual for name, each in profile.items()}),
        ("maxShapes", {name: each.high for name, each in profile.items()}),
    ):
        listed = ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())
        command.append(f"--{option}={listed}")
    if timing_cache is not None:
        command.append(f"--timingCacheFile={os.fspath(timing_cache)}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not Path(engine_file).is_file():
        last = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise RuntimeError(f"{program} failed ({done.returncode}): {' | '.join(last)}")


def _require_version(library: Any) -> None:
    name = library.__name__
    oldest = OLDEST_MAJOR.get(name, 0)
    if int(library.__version__.split(".")[0]) < oldest:
        raise ValueError(
            f"{name} must be of version {oldest} or newer, got {library.__version__}: "
            "older ones do not build strongly typed networks"
        )


def _strongly_typed(library: Any) -> int:
    """The flag for strongly typed networks, or none if every network is one."""
    flag = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _profile(builder: Any, network: Any, profile: Profile) -> Any:
    names = [network.get_input(place).name for place in range(network.num_inputs)]
    if sorted(names) != sorted(profile):
        raise ValueError(f"the profile must name the inputs {names}, got {sorted(profile)}")
    made = builder.create_optimization_profile()
    for name, shapes in profile.items():
        made.set_shape(name, shapes.low, shapes.usual, shapes.high)
    return made


def _described(tensors: Any) -> dict[str, tuple[str, list[int]]]:
    return {each.name: (each.dtype.name, list(each.shape)) for each in tensors}


def _replace(path: Path, content: bytes) -> None:
    """Write a file atomically, because simultaneous builds share a timing cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
