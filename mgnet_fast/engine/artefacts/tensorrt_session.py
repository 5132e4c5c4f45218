"""Runs a TensorRT engine file in place on torch's CUDA tensors, on the current stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .tensorrt_library import collecting_logger, first_error

_DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT64": torch.int64,
    "INT32": torch.int32,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "BOOL": torch.bool,
}


class EngineSession:
    """A loaded engine; use it from one thread at a time.

    Args:
        library: the module ``tensorrt`` or ``tensorrt_rtx``.
        path: the engine file, made by the same library for this GPU.
        device: the device of the tensors.

    Attributes:
        inputs, outputs: the dtype of each tensor by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the library cannot load the file.
    """

    def __init__(
        self, library: Any, path: str | os.PathLike[str], device: torch.device | str = "cuda"
    ) -> None:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"engine {path} does not exist")
        self.device = torch.device(device)
        self._logger = collecting_logger(library)
        self._runtime = library.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise ValueError(
                f"{library.__name__} {library.__version__} cannot load the engine {path}: "
                f"{first_error(self._logger)}; build it again on this machine with this version"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise ValueError(f"engine {path} cannot be prepared: {first_error(self._logger)}")
        self.inputs: dict[str, torch.dtype] = {}
        self.outputs: dict[str, torch.dtype] = {}
        for place in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(place)
            is_input = self._engine.get_tensor_mode(name) == library.TensorIOMode.INPUT
            kind = _DTYPES[self._engine.get_tensor_dtype(name).name]
            (self.inputs if is_input else self.outputs)[name] = kind

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the engine on ``tensors`` by name and return new tensors.

        Does not wait for the device: the results are ready on the current stream.

        Raises:
            TypeError, ValueError: names, dtypes, devices or shapes do not fit the engine.
            RuntimeError: the engine failed.
        """
        if set(tensors) != set(self.inputs):
            raise ValueError(f"the engine takes {sorted(self.inputs)}, got {sorted(tensors)}")
        held = {name: self._bind(name, tensor) for name, tensor in tensors.items()}
        results = {name: self._room_for(name) for name in self.outputs}
        stream = torch.cuda.current_stream(self.device).cuda_stream
        if not self._context.execute_async_v3(stream):
            raise RuntimeError(f"the engine failed: {first_error(self._logger)}")
        held.clear()  # safe: torch reuses their memory on this stream only
        return results

    def _bind(self, name: str, tensor: Tensor) -> Tensor:
        if tensor.dtype != self.inputs[name]:
            raise TypeError(f"{name} must have dtype {self.inputs[name]}, got {tensor.dtype}")
        if tensor.device.type != self.device.type:
            raise ValueError(f"{name} must be on {self.device}, got {tensor.device}")
        tensor = tensor.contiguous()
        if not self._context.set_input_shape(name, tuple(tensor.shape)):
            low, _, high = self._engine.get_tensor_profile_shape(name, 0)
            raise ValueError(
                f"{name} must have a shape from {list(low)} to {list(high)}, for which the engine "
                f"was built, got {list(tensor.shape)}"
            )
        self._context.set_tensor_address(name, tensor.data_ptr())
        return tensor

    def _room_for(self, name: str) -> Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        result = torch.empty(shape, dtype=self.outputs[name], device=self.device)
        self._context.set_tensor_address(name, result.data_ptr())
        return result
