"""Checkpoints: safetensors with the config in the header; Lightning's files can be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..ltpa.family import LTPA_FAMILY
from ..ltpa.published import UNTOLD, from_port, is_of_the_port, port_config
from ..mgnet.family import MGNET
from ..network import GlimpseNetwork, check_network
from ..registry import FAMILIES, family_named, family_of
from ..tnet.network import TNet
from .blueprint import Blueprint
from .published_code import blueprint_from_hparams
from .tensorflow_files import read_variables
from .torch_files import read_torch_file
from .weights import load_weights

_CONFIG = "mgnet_fast.config"
_BACKBONE = "mgnet_fast.backbone"
_FAMILY = "mgnet_fast.family"  # no entry: MGNet, the only family of earlier versions
_LIGHTNING_PREFIX = "model."
_PARALLEL_PREFIX = "module."  # torch's DataParallel
_TORCH_FILE_STARTS = (b"PK\x03\x04", b"\x80\x02")  # a zip archive; a pickle


def save_checkpoint(
    model: GlimpseNetwork,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes ``model`` with its config as a safetensors file.

    The file is written under a temporary name in the same folder and then renamed, so an
    interruption leaves either the old file or the new one.

    Args:
        model: a network of one of the package's families, such as an MGNet.
        path: the file; an existing one is replaced.
        metadata: further strings for the file's header.

    Raises:
        TypeError: ``model`` is of no family that the package can build again, or ``path`` is not
            a path.
        OSError: the file cannot be written.
    """
    check_network(model)
    path = checked_path(path)
    family = family_of(model)
    if family is None:
        raise TypeError(
            f"model must be of a family that can be saved "
            f"({', '.join(each.prefix for each in FAMILIES)}), got {type(model).__name__}: "
            "save its state_dict() with safetensors.torch.save_file instead"
        )
    header = dict(metadata or {}) | {_CONFIG: model.config.to_json()}
    if model.backbone_name is not None:
        header[_BACKBONE] = model.backbone_name
    if family is not MGNET:
        header[_FAMILY] = family.prefix
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        # Not save_file, which makes the file readable by its owner only.
        unfinished.write_bytes(save(tensors, metadata=header))
        os.replace(unfinished, path)
    except (SafetensorError, OSError) as error:
        raise OSError(f"checkpoint {path} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: GlimpseNetwork | None = None,
    backbone: nn.Module | str | None = None,
    dim: int | None = None,
    **overrides: Any,
) -> Any:
    """Reads a network from safetensors (:func:`save_checkpoint`) or a Lightning checkpoint.

    Lightning checkpoints of the published code are read with ``weights_only=True``: no code from
    the file runs, and Lightning need not be installed. Their hyper-parameters describe the
    network. For a file without hyper-parameters give ``num_glimpses`` and ``glimpse_size`` (or
    ``down_factor``); the rest follows from the names and shapes of the weights.

    A folder is taken for a TensorFlow checkpoint of the published TNet, which does not describe
    its network: give the network as ``model``.

    State dicts of the PyTorch port of "Learn To Pay Attention" become an :class:`LTPA`; give
    ``attend="before"`` or ``"after"``, which they do not tell.

    Args:
        path: the file, or the folder.
        model: load into this network instead of a new one; it must fit.
        backbone: the backbone module, if the file's backbone has no name in this package.
        dim: its number of features, if it has no attribute ``num_features`` or ``dim``.
        **overrides: fields of the config (such as :class:`MGNetConfig`) that replace the file's.

    Returns:
        ``model``, or a new network on the CPU in evaluation mode: an :class:`MGNet`, or a
        :class:`GlimpseNetwork` of the family that the file names.

    Raises:
        TypeError: ``path`` is not a path, or ``model`` is not a network.
        FileNotFoundError: there is no such file.
        ImportError: the checkpoint is TensorFlow's, and TensorFlow is not installed.
        ValueError: the file is damaged or not a checkpoint, or it does not fit the
            configuration: the message names the missing, unexpected and differently shaped
            entries.
    """
    path = checked_path(path)
    if model is not None:
        check_network(model)
    if path.is_dir():
        if not isinstance(model, TNet):
            raise ValueError(
                f"checkpoint {path} is a folder, as TensorFlow writes for TNets: "
                "pass a network of that variant as model"
            )
        model.load_variables(read_variables(path))
        return model
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    weights, blueprint = _read(path)
    if model is None:
        blueprint = blueprint.completed(weights, overrides)
        chosen = blueprint.backbone if backbone is None else backbone
        if chosen is None or blueprint.config is None:
            raise ValueError(
                f"checkpoint {path} does not name its backbone: "
                "pass the backbone module as backbone"
            )
        model = blueprint.family.build(blueprint.config, chosen, dim).eval()
    elif overrides or backbone is not None or dim is not None:
        raise ValueError(
            "model has its own config and backbone: give either model or backbone, dim and "
            "fields of the config"
        )
    load_weights(model, weights, f"checkpoint {path}")
    return model


def checked_path(path: object, name: str = "path") -> Path:
    """``path`` as a Path.

    Raises:
        TypeError: it is neither a str nor a path; the message calls it ``name``.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a str or a path, got {type(path).__name__}")
    return Path(path)


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
        raise ValueError(
            f"checkpoint {path} is damaged or not a safetensors file: {error}"
        ) from error
    family = family_named(header.get(_FAMILY, MGNET.prefix))
    if family is None:
        raise ValueError(
            f"checkpoint {path} holds a network of the family {header[_FAMILY]!r}; "
            f"known are {', '.join(each.prefix for each in FAMILIES)}"
        )
    config = family.config.from_json(header[_CONFIG]) if _CONFIG in header else None
    return weights, Blueprint(f"checkpoint {path}", config, header.get(_BACKBONE), family)


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
        weights = {
            name.removeprefix(_PARALLEL_PREFIX): tensor
            for name, tensor in state.items()
            if isinstance(tensor, Tensor)
        }
    if is_of_the_port(weights):
        config = port_config(weights)
        blueprint = Blueprint(f"checkpoint {path}", config, "vgg", LTPA_FAMILY, UNTOLD)
        return from_port(weights), blueprint
    hparams = content.get("hyper_parameters")
    if hparams:
        return weights, blueprint_from_hparams(f"checkpoint {path}", hparams, weights)
    return weights, Blueprint(f"checkpoint {path}", None, None)
