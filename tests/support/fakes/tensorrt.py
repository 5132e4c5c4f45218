"""A stand-in for the module tensorrt, with as much of its API as the package calls.

It proves which calls are made, in what order and with what arguments, and what is said when one
fails. It proves nothing about TensorRT: its engines hold the ONNX file, and running one doubles
each float of the input ``images`` into the output ``n_logit``.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

SHAPE = (2, 1, 4, 4)


class DataType(IntEnum):
    FLOAT = 0


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class _Logger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)

    def __init__(self, level: int = 0) -> None:
        self.level = level


def fake_tensorrt(
    version: str = "10.16.1", *, strong_flag: bool = True, fails: str = ""
) -> tuple[Any, list[tuple[Any, ...]]]:
    """The module and the list of calls made on it.

    ``fails`` names the call that does not succeed: parse, build, deserialize, shape, execute.
    """
    calls: list[tuple[Any, ...]] = []

    class Tensor(SimpleNamespace):
        pass

    class Network:
        num_inputs, num_outputs = 1, 1

        def get_input(self, place: int) -> Tensor:
            return Tensor(name="images", shape=(-1, 1, -1, -1), dtype=DataType.FLOAT)

        def get_output(self, place: int) -> Tensor:
            return Tensor(name="n_logit", shape=(-1, 1, -1, -1), dtype=DataType.FLOAT)

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Network, logger: Any) -> None:
            self.network = network

        def parse_from_file(self, path: str) -> bool:
            calls.append(("parse", path))
            self.network.source = Path(path).read_bytes()
            return fails != "parse"

        def get_error(self, place: int) -> Any:
            return SimpleNamespace(desc=lambda: "node 7: no importer for Wobble\nat parser.cpp:1")

    class Cache:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def serialize(self) -> bytes:
            return self.content + b"+measured"

    class Config:
        def clear_flag(self, flag: str) -> None:
            calls.append(("clear", flag))

        def add_optimization_profile(self, profile: Any) -> int:
            calls.append(("profile", dict(profile.shapes)))
            return 0

        def create_timing_cache(self, content: bytes) -> Cache:
            calls.append(("cache", content))
            return Cache(content)

        def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
            self.cache = cache
            return True

        def get_timing_cache(self) -> Cache:
            return self.cache

    class OptimizationProfile:
        def __init__(self) -> None:
            self.shapes: dict[str, Any] = {}

        def set_shape(self, name: str, low: Any, usual: Any, high: Any) -> None:
            self.shapes[name] = (low, usual, high)

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            calls.append(("network", flags))
            return Network()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> OptimizationProfile:
            return OptimizationProfile()

        def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
            calls.append(("build",))
            if fails == "build":
                self.logger.log(_Logger.ERROR, "out of memory\nat builder.cpp:1")
                return None
            return b"engine:" + network.source

    class Context:
        def __init__(self) -> None:
            self.shape: tuple[int, ...] = ()
            self.address: dict[str, int] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            calls.append(("shape", name, shape))
            self.shape = shape
            return fails != "shape"

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self.shape

        def set_tensor_address(self, name: str, address: int) -> bool:
            calls.append(("address", name))
            self.address[name] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            calls.append(("execute", stream))
            if fails == "execute":
                return False
            count = int(np.prod(self.shape))
            seen = (ctypes.c_float * count).from_address(self.address["images"])
            made = (ctypes.c_float * count).from_address(self.address["n_logit"])
            made[:] = [2 * each for each in seen]
            return True

    class Engine:
        num_io_tensors = 2

        def get_tensor_name(self, place: int) -> str:
            return ("images", "n_logit")[place]

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return TensorIOMode.INPUT if name == "images" else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> DataType:
            return DataType.FLOAT

        def get_tensor_profile_shape(self, name: str, place: int) -> list[tuple[int, ...]]:
            return [(1, 1, 2, 2), SHAPE, (8, 1, 8, 8)]

        def create_execution_context(self) -> Context:
            return Context()

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
            calls.append(("deserialize", content))
            if fails == "deserialize":
                self.logger.log(_Logger.ERROR, "the version tag does not match")
                return None
            return Engine()

    flags = SimpleNamespace(STRONGLY_TYPED=1) if strong_flag else SimpleNamespace()
    module = SimpleNamespace(
        __name__="tensorrt",
        __version__=version,
        Builder=Builder,
        BuilderFlag=SimpleNamespace(TF32="TF32"),
        ILogger=_Logger,
        Logger=_Logger,
        NetworkDefinitionCreationFlag=flags,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
        TensorIOMode=TensorIOMode,
    )
    return module, calls
