"""Networks of timm and torchvision as backbones, if these are installed."""

from __future__ import annotations

import copy
import importlib
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

_CLASSIFIERS = ("fc", "classifier", "heads", "head")  # torchvision's names for its classifiers


def is_foreign(name: str) -> bool:
    """Whether a backbone's name is one of timm's or torchvision's: ``timm:<name>``."""
    return name.startswith(("timm:", "torchvision:"))


def timm_backbone(
    name: str, in_chans: int, glimpse_size: tuple[int, int] | None = None
) -> nn.Module:
    """timm's network ``name`` without its classifier, with random weights.

    Args:
        name: as timm calls it.
        in_chans: number of input channels.
        glimpse_size: height and width of its inputs, for networks that are made for one size
            (transformers); None: timm's.

    Raises:
        ImportError: timm is not installed, or not usable.
        ValueError: timm has no such network.
    """
    timm = _imported("timm", name)
    if not timm.is_model(name):
        raise ValueError(f"backbone 'timm:{name}' is unknown to timm {timm.__version__}")
    network: Any = timm.create_model(name, num_classes=0, in_chans=in_chans)
    if glimpse_size is not None and hasattr(network, "set_input_size"):
        network.set_input_size(img_size=glimpse_size)
    # Some networks have a layer between the pooled map, num_features wide, and the classifier.
    network.num_features = getattr(network, "head_hidden_size", network.num_features)
    return network  # type: ignore[no-any-return]


def torchvision_backbone(name: str, in_chans: int) -> nn.Module:
    """torchvision's network ``name`` without its classifier, with random weights.

    Raises:
        ImportError: torchvision is not installed, or not usable.
        ValueError: torchvision has no such network for classification, its classifier is not
            found, or ``in_chans`` is not 3.
    """
    models = _imported("torchvision", name).models
    if in_chans != 3:
        raise ValueError(f"in_chans must be 3 for a torchvision backbone, got {in_chans}")
    if name not in models.list_models(module=models):  # not the detectors among them
        raise ValueError(f"backbone 'torchvision:{name}' is unknown to torchvision")
    return without_classifier(models.get_model(name, weights=None), name)


def without_classifier(network: nn.Module, name: str) -> nn.Module:
    """Ends ``network`` before the first linear layer of its classifier; sets ``num_features``.

    Layers before it, such as a norm, keep their names; dropout there goes.

    Raises:
        ValueError: no part named like a classifier of torchvision has a linear layer.
    """
    for part in _CLASSIFIERS:
        classifier = getattr(network, part, None)
        if not isinstance(classifier, nn.Module):
            continue
        kept: OrderedDict[str, nn.Module] = OrderedDict()
        children = classifier.named_children() if len(list(classifier.children())) else ()
        first = classifier if isinstance(classifier, nn.Linear) else None
        for child_name, child in children:
            if isinstance(child, nn.Linear):
                first = child
                break
            kept[child_name] = nn.Identity() if isinstance(child, nn.Dropout) else child
        if first is not None:
            kept["flat"] = nn.Flatten(1)
            setattr(network, part, nn.Sequential(kept))
            network.num_features = first.in_features  # type: ignore[assignment]
            return network
    raise ValueError(f"backbone {name!r} has no classifier named {', '.join(_CLASSIFIERS)}")


def check_features(
    backbone: nn.Module, name: str, dim: int, in_chans: int, size: tuple[int, int]
) -> None:
    """Checks that ``backbone`` maps glimpses [N, in_chans, *size] to features [N, dim].

    A copy runs once on the CPU, in the mode that the backbone is in.

    Raises:
        ValueError: it cannot, or gives something else.
    """
    height, width = size
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            found = copy.deepcopy(backbone).cpu()(torch.zeros(2, in_chans, height, width))
    except Exception as error:  # a library's network may raise anything, often AssertionError
        raise ValueError(
            f"backbone {name!r} cannot take glimpses of {height} x {width} pixels: {error}"
        ) from error
    got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if got != [2, dim]:
        raise ValueError(
            f"backbone {name!r} must give one vector per glimpse, [2, {dim}] of two glimpses of "
            f"{height} x {width} pixels, got {got}"
        )


def _imported(library: str, name: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(
            f"backbone '{library}:{name}' needs {library}, which cannot be imported ({error}): "
            f"pip install {library}"
        ) from error
    except RuntimeError as error:  # torchvision's, where its own operators cannot be loaded
        raise ImportError(
            f"backbone '{library}:{name}' needs {library}, which is installed for another build "
            f"of torch ({error}): install the one that fits torch {torch.__version__}"
        ) from error
