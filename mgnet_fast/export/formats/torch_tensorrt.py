"""The loop compiled by torch_tensorrt for this machine's GPU, called from Python.

With plugins (torch_tensorrt 2.12 and newer) a glimpse is the package's own kernel inside the
engine, with coordinates in double; otherwise it is TensorRT's GridSample. Engines are cached, so a
second process starts without building.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...models import MGNet
from ..graphs.glimpse_plugin import PLUGIN_NAME, PluginLoop
from ..graphs.loop import INPUT_NAME, PlainLoop, build_loop, steps_first
from ..graphs.network_loop import Outputs
from ..graphs.parts import Normalization, ready_backbone
from ..graphs.program import exported_program
from ..options import ExportOptions
from .tensorrt import profile_of
from .tensorrt_versions import check_torch_tensorrt

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PRECISIONS = (*DTYPES, "fp8")
_FP8_CAPABILITY = (9, 0)
_registered: set[str] = set()


class CompiledLoop:
    """A compiled loop; maps images on the GPU to (n_logit, regions, label) on the GPU.

    Attributes:
        has_plugin: whether a glimpse is the package's own kernel.
    """

    def __init__(
        self, library: Any, module: Callable[[Tensor], Outputs], prepare: nn.Module, plugin: bool
    ) -> None:
        self.has_plugin = plugin
        self._library, self._module, self._prepare = library, module, prepare

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Outputs:
        return steps_first(self._module(self._prepare(images)))

    @contextlib.contextmanager
    def cuda_graphs(self) -> Iterator[CompiledLoop]:
        """The same, recorded at the first call and replayed at later calls with that shape."""
        with self._library.runtime.enable_cudagraphs(self._module) as module:
            yield CompiledLoop(self._library, module, self._prepare, self.has_plugin)


def compile_torch_tensorrt(
    model: MGNet,
    options: ExportOptions | None = None,
    *,
    precision: str = "fp32",
    plugin: bool | None = None,
    cache: str | os.PathLike[str] | None = None,
    calibration: Iterable[Tensor] | None = None,
    device: torch.device | str = "cuda",
) -> CompiledLoop:
    """Compile the whole loop of ``model``; everything but the backbone runs in float32.

    Args:
        model: the network; it is copied, not changed.
        options: batch range, image sizes, kind of input, T. Bytes are normalised in PyTorch.
        precision: of the backbone: "fp32", "fp16", "bf16" or, with NVIDIA's modelopt on GPUs of
            compute capability 9.0 or newer, "fp8".
        plugin: whether glimpses use the package's kernel as a plugin; None: if the version has
            plugins.
        cache: folder for engines and timings; default: the user's cache folder.
        calibration: batches of glimpses [B, C, h, w], for fp8 only.
        device: the GPU.

    Raises:
        ImportError, RuntimeError, ValueError: see
            :func:`~mgnet_fast.export.formats.tensorrt_versions.check_torch_tensorrt`; or an
            argument does not fit.
    """
    pair = check_torch_tensorrt()
    options = dataclasses.replace(options or ExportOptions(), outputs="steps-first", what="loop")
    use_plugin = pair.plugins if plugin is None else plugin
    if use_plugin and not pair.plugins:
        raise ValueError(
            f"plugin must not be True with torch_tensorrt {pair.torch_tensorrt}, which has no "
            "plugins: 2.12 and newer have them"
        )
    device = torch.device(device)
    backbone = _backbone(model, precision, calibration, device)
    import torch_tensorrt

    prepare = Normalization(model.config) if options.input == "uint8" else nn.Identity()
    floats = dataclasses.replace(options, input="float")
    kind = PluginLoop if use_plugin else PlainLoop
    model = copy.deepcopy(model).to("cpu").float().eval()
    loop: Any = build_loop(kind, model, floats)
    loop.backbone, loop.backbone_dtype = backbone, DTYPES.get(precision, torch.float32)
    loop.to(device)
    if use_plugin:
        _register_plugin(torch_tensorrt)
    with _export_mode(precision):
        program = exported_program(loop, model, floats)
    shapes = profile_of(model, floats)[INPUT_NAME]
    folder = Path(cache) if cache is not None else _cache_folder(pair.torch_tensorrt)
    folder.mkdir(parents=True, exist_ok=True)
    module = torch_tensorrt.dynamo.compile(
        program,
        arg_inputs=[
            torch_tensorrt.Input(
                min_shape=shapes.low,
                opt_shape=shapes.usual,
                max_shape=shapes.high,
                dtype=torch.float32,
                name=INPUT_NAME,
            )
        ],
        device=device,
        disable_tf32=True,
        min_block_size=1,
        immutable_weights=False,  # cached engines are refitted with the weights
        cache_built_engines=True,
        reuse_cached_engines=True,
        engine_cache_dir=os.fspath(folder),
        timing_cache_path=os.fspath(folder / "timing_cache.bin"),
    )
    return CompiledLoop(torch_tensorrt, module, prepare.to(device), use_plugin)


def _backbone(
    model: MGNet, precision: str, calibration: Iterable[Tensor] | None, device: torch.device
) -> nn.Module:
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "fp8":
        return ready_backbone(model, DTYPES[precision])
    if calibration is None:
        raise ValueError("calibration must be batches of glimpses for precision fp8, got None")
    capability = torch.cuda.get_device_capability(device)
    if capability < _FP8_CAPABILITY:
        raise ValueError(
            f"precision fp8 needs a GPU of compute capability 9.0 or newer, got "
            f"{'.'.join(map(str, capability))}: take fp16 or bf16"
        )
    quantization = _modelopt("modelopt.torch.quantization")
    backbone = ready_backbone(model).to(device)

    def show_glimpses(network: nn.Module) -> None:
        for batch in calibration:
            network(batch.to(device))

    quantized: nn.Module = quantization.quantize(
        backbone, quantization.FP8_DEFAULT_CFG, forward_loop=show_glimpses
    )
    return quantized


def _modelopt(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"precision fp8 needs NVIDIA's modelopt ({error}): pip install nvidia-modelopt"
        ) from error


def _export_mode(precision: str) -> contextlib.AbstractContextManager[Any]:
    if precision != "fp8":
        return contextlib.nullcontext()
    utilities = _modelopt("modelopt.torch.quantization.utils")
    mode: contextlib.AbstractContextManager[Any] = utilities.export_torch_mode()
    return mode


def _register_plugin(library: Any) -> None:
    if PLUGIN_NAME not in _registered:
        library.dynamo.conversion.plugins.custom_op(PLUGIN_NAME, supports_dynamic_shapes=True)
        _registered.add(PLUGIN_NAME)


def _cache_folder(version: str) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "mgnet_fast" / f"torch_tensorrt-{version}"
