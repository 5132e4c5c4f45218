"""State dicts of other libraries' classifiers, whose backbone a network takes over."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..differences import in_words, layers_of
from .blueprint import identified_backbone

_TORCH_FILE_STARTS = (b"PK\x03\x04", b"\x80\x02")  # a zip archive; a pickle
_ENTRIES = ("state_dict", "model", "model_state_dict")  # where training scripts put the weights
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
# In torchvision (fc, classifier, heads, head), timm (the same and last_linear).
_CLASSIFIERS = ("fc.", "classifier.", "heads.", "head.", "last_linear.")


def load_backbone_weights(backbone: nn.Module, path: Path, name: str) -> list[str]:
    """Copies the weights of a classifier into ``backbone``, all of them or none.

    Names must be those of ``backbone``. The ResNets of this package have torchvision's, which
    timm's ResNets share. Before them may stand ``module.``, ``model.``, ``backbone.``,
    ``encoder.`` or ``_orig_mod.``. The classifier is dropped. Counters of batch norm
    (``num_batches_tracked``), which old files lack, become 0.

    Args:
        backbone: the module.
        path: .safetensors, or a file of ``torch.save``, of which no code runs: a state dict, or
            a dict with one as ``state_dict``, ``model`` or ``model_state_dict``.
        name: what messages call the backbone.

    Returns:
        The dropped names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds no weights or needs code to be read; or it is of
            another network: the message says which layers differ.
    """
    weights = read_state_dict(path)
    wanted = backbone.state_dict()
    dropped = [each for each in weights if each.startswith(_CLASSIFIERS) and each not in wanted]
    for each in dropped:
        del weights[each]
    _check_fit(weights, wanted, f"weights {path}", name)
    backbone.load_state_dict(weights)
    return dropped


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without what wrappers put before the names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds no weights or needs code to be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} do not exist")
    with path.open("rb") as file:
        start = file.read(4)
    content = _unpickled(path) if start.startswith(_TORCH_FILE_STARTS) else _safetensors(path)
    for entry in _ENTRIES:
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    found = content.items() if isinstance(content, Mapping) else ()
    weights = {str(name): value for name, value in found if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"weights {path} must hold a state dict, got none")
    while prefix := next((each for each in _PREFIXES if _all_start(weights, each)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    for name in list(weights):
        if name.endswith(".running_mean"):
            counter = name.replace("running_mean", "num_batches_tracked")
            weights.setdefault(counter, torch.zeros((), dtype=torch.int64))
    return weights


def _check_fit(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str, name: str
) -> None:
    missing = [each for each in wanted if each not in weights]
    left_over = [each for each in weights if each not in wanted]
    shared = [each for each in wanted if each in weights]
    reshaped: dict[str, str] = {}
    for each in shared:
        want, got = list(wanted[each].shape), list(weights[each].shape)
        if want != got:
            reshaped.setdefault(each.rpartition(".")[0], f"{each} (want {want}, got {got})")
    broken = [each for each in shared if not bool(torch.isfinite(weights[each]).all())]
    found = in_words(
        [
            ("of another shape", list(reshaped.values())),
            ("missing", layers_of(missing, shared)),
            ("left over", layers_of(left_over, shared)),
            ("not finite", broken),
        ],
        shown=None,
    )
    if not found:
        return
    other = identified_backbone({f"backbone.{each}": value for each, value in weights.items()})
    hint = f"; they fit the backbone {other}" if other is not None else ""
    if other == name:
        hint = f"; they fit it with in_chans = {weights['conv1.weight'].shape[1]}"
    if "loc_network.fc.weight" in weights:
        hint = "; they are those of a whole MGNet, which load_checkpoint reads"
    raise ValueError(f"{source} do not fit the backbone {name}{hint}: {found}")


def _unpickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([Namespace]):  # timm's files hold their options
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"weights {path} are refused, because reading them would run code of the file: "
            f"save the state_dict() of the network instead ({_first_sentence(error)})"
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"weights {path} are damaged: {_first_sentence(error)}") from error


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"weights {path} are neither a file of torch.save nor of safetensors: {error}"
        ) from error


def _all_start(weights: Mapping[str, Tensor], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in weights)


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
