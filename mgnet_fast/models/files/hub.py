"""Networks as folders for Hugging Face's hub: ``model.safetensors`` and ``config.json``.

``huggingface_hub.PyTorchModelHubMixin`` finds, downloads and uploads the folders and writes the
model card. This package reads and writes the files, so ``load_checkpoint`` can read
``model.safetensors`` too. The library is imported at the first call.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..mgnet.family import MGNET
from ..network import GlimpseNetwork
from ..registry import FAMILIES, family_named, family_of
from ..shared_folder import provides
from .checkpoints import checked_path, save_checkpoint
from .weights import load_weights

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
INSTALL_HINT = "pip install 'mgnet-fast[hub]'"
_BACKBONE, _FAMILY = "backbone", "family"


@provides("save_pretrained")
def save_pretrained(
    model: GlimpseNetwork, directory: str | os.PathLike[str], **options: Any
) -> str | None:
    """See :meth:`.shared_folder.SharedAsFolder.save_pretrained`."""
    shared = _shared_class()(model)
    config = model.config.to_dict() | {_BACKBONE: model.backbone_name}
    family = family_of(model)
    if family is not None and family is not MGNET:
        config[_FAMILY] = family.prefix
    url: str | None = shared.save_pretrained(Path(directory), config=config, **options)
    return url


@provides("from_pretrained")
def from_pretrained(
    wanted: type[GlimpseNetwork],
    source: str | os.PathLike[str],
    *,
    backbone: nn.Module | str | None = None,
    dim: int | None = None,
    **options: Any,
) -> GlimpseNetwork:
    """See :meth:`.shared_folder.SharedAsFolder.from_pretrained`; ``wanted`` is the class."""
    kind, source = _shared_class(), os.fspath(checked_path(source, "source"))
    if os.path.isdir(source):
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not os.path.isfile(os.path.join(source, name)):
                raise FileNotFoundError(f"folder {source} has no {name}, so it holds no network")
    elif source.startswith((".", "~", os.sep)) or source.count("/") != 1:
        raise FileNotFoundError(
            f"folder {source} does not exist, and a name on the hub is OWNER/NAME"
        )
    network = kind.from_pretrained(source, backbone=backbone, dim=dim, **options).network
    if not isinstance(network, wanted):
        raise ValueError(f"{source} must hold a {wanted.__name__}, got {type(network).__name__}")
    return network


@functools.cache
def _shared_class() -> Any:
    """huggingface_hub's mixin around a network, with this package's file formats.

    Raises:
        ImportError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
    except ImportError as error:
        raise ImportError(
            f"sharing networks needs huggingface_hub ({error}): {INSTALL_HINT}"
        ) from error

    class Shared(  # type: ignore[misc, call-arg, unused-ignore]
        PyTorchModelHubMixin,  # type: ignore[misc, unused-ignore]
        library_name="mgnet-fast",
        tags=["image-classification"],
    ):
        def __init__(self, network: GlimpseNetwork) -> None:
            self.network = network

        def _save_pretrained(self, save_directory: Path) -> None:
            path = save_directory / WEIGHTS_FILE
            save_checkpoint(self.network, path, metadata={"format": "pt"})

        @classmethod
        def _from_pretrained(
            cls,
            *,
            model_id: str,
            config: dict[str, Any] | None = None,
            backbone: nn.Module | str | None = None,
            dim: int | None = None,
            **found: Any,
        ) -> Shared:
            if os.path.isdir(model_id):
                path = os.path.join(model_id, WEIGHTS_FILE)
            else:
                path = hf_hub_download(repo_id=model_id, filename=WEIGHTS_FILE, **found)
            return cls(_network(model_id, path, config, backbone, dim))

    def _network(
        source: str,
        path: str,
        config: dict[str, Any] | None,
        backbone: nn.Module | str | None,
        dim: int | None,
    ) -> GlimpseNetwork:
        if config is None:
            raise FileNotFoundError(f"{source} has no {CONFIG_FILE}, so it holds no network")
        numbers = dict(config)
        prefix = numbers.pop(_FAMILY, MGNET.prefix)
        family = family_named(prefix)
        if family is None:
            raise ValueError(
                f"{source} holds a network of the family {prefix!r}; "
                f"known are {', '.join(each.prefix for each in FAMILIES)}"
            )
        chosen = backbone if backbone is not None else numbers.get(_BACKBONE)
        numbers.pop(_BACKBONE, None)
        if chosen is None:
            raise ValueError(
                f"{source} does not name its backbone: pass the backbone module as backbone"
            )
        network = family.build(family.config.from_dict(numbers), chosen, dim).eval()
        try:
            weights = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or not a safetensors file: {error}") from error
        load_weights(network, weights, source)
        return network

    return Shared
