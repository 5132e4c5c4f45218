"""Networks on disk: safetensors with their configuration; Lightning checkpoints for reading."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..mgnet.config import MGNetConfig
from ..mgnet.network import MGNet
from .blueprint import Blueprint
from .published_code import blueprint_from_hparams
from .torch_files import read_torch_file
from .weights import load_weights

_CONFIG = "mgnet_fast.config"
_BACKBONE = "mgnet_fast.backbone"
_LIGHTNING_PREFIX = "model."
_TORCH_FILE_STARTS = (b"PK\x03\x04", b"\x80\x02")  # a zip archive; a pickle


def save_checkpoint(
    model: MGNet, path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes ``model`` with its configuration as safetensors.

    The file appears whole or not at all: it is written under another name in the same folder and
    then renamed.

    Args:
        model: the network.
        path: where to; an existing file is replaced.
        metadata: further strings to keep in the file's header.

    Raises:
        TypeError: ``model`` is no MGNet.
        OSError: the file cannot be written.
    """
    if not isinstance(model, MGNet):
        raise TypeError(f"model must be an MGNet, got {type(model).__name__}")
    header = dict(metadata or {}) | {_CONFIG: model.config.to_json()}
    if model.backbone_name is not None:
        header[_BACKBONE] = model.backbone_name
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        # Not save_file, which lets nobody but the owner read the file.
        unfinished.write_bytes(save(tensors, metadata=header))
        os.replace(unfinished, path)
    except (SafetensorError, OSError) as error:
        raise OSError(f"checkpoint {path} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: MGNet | None = None,
    backbone: nn.Module | str | None = None,
    dim: int | None = None,
    **overrides: Any,
) -> MGNet:
    """Reads a network from safetensors (:func:`save_checkpoint`) or a Lightning checkpoint.

    Lightning checkpoints of the published code are read with ``weights_only=True``: no code from
    the file is run, and Lightning need not be installed. Their hyper-parameters say what network
    they hold; where a file has none, ``num_glimpses`` and ``glimpse_size`` (or ``down_factor``)
    must be given and the rest is told from names and shapes.

    Args:
        path: the file.
        model: a network to load into, instead of a new one; it must fit.
        backbone: for a network whose backbone has no name in this package: the module.
        dim: its number of features, where it does not say so itself.
        **overrides: fields of :class:`MGNetConfig` that shall differ from the file's.

    Returns:
        ``model``, or a new network on the CPU in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no checkpoint, or it is one of another configuration:
            the message names the missing, unexpected and differently shaped entries.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    weights, blueprint = _read(path)
    if model is None:
        blueprint = blueprint.completed(weights, overrides)
        chosen = blueprint.backbone if backbone is None else backbone
        if chosen is None or blueprint.config is None:
            raise ValueError(
                f"checkpoint {path} has a backbone that this package has no name for: "
                "give the module as backbone"
            )
        model = MGNet(blueprint.config, chosen, dim).eval()
    elif overrides or backbone is not None or dim is not None:
        raise ValueError("model has its own config and backbone: give either it or the others")
    load_weights(model, weights, f"checkpoint {path}")
    return model


def _read(path: Path) -> tuple[dict[str, Tensor], Blueprint]:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_TORCH_FILE_STARTS):
        return _read_lightning(path)
    return _read_safetensors(path)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Blueprint]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"checkpoint {path} is damaged or no safetensors file: {error}") from error
    config = MGNetConfig.from_json(header[_CONFIG]) if _CONFIG in header else None
    return weights, Blueprint(f"checkpoint {path}", config, header.get(_BACKBONE))


def _read_lightning(path: Path) -> tuple[dict[str, Tensor], Blueprint]:
    content = read_torch_file(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"checkpoint {path} must hold a state dict, got {type(content).__name__}")
    state = content.get("state_dict", content)
    weights = {
        name.removeprefix(_LIGHTNING_PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(_LIGHTNING_PREFIX) and isinstance(tensor, Tensor)
    }
    if not weights:  # a bare state dict
        weights = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    hparams = content.get("hyper_parameters")
    if hparams:
        return weights, blueprint_from_hparams(f"checkpoint {path}", hparams, weights)
    return weights, Blueprint(f"checkpoint {path}", None, None)
