"""Networks of timm and torchvision as backbones, if these are installed."""

from __future__ import annotations

from torch import nn

_CLASSIFIERS = ("fc", "classifier", "heads", "head")  # torchvision's names for its classifiers


def timm_backbone(name: str, in_chans: int) -> nn.Module:
    """timm's network ``name`` without its classifier, with random weights.

    Raises:
        ImportError: timm is not installed.
        ValueError: timm has no such network.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"backbone 'timm:{name}' needs timm, which is not installed: pip install timm"
        ) from error
    if not timm.is_model(name):
        raise ValueError(f"backbone 'timm:{name}' is unknown to timm {timm.__version__}")
    network: nn.Module = timm.create_model(name, num_classes=0, in_chans=in_chans)
    return network


def torchvision_backbone(name: str, in_chans: int) -> nn.Module:
    """torchvision's network ``name`` without its classifier, with random weights.

    Raises:
        ImportError: torchvision is not installed.
        ValueError: torchvision has no such network, its classifier is not found, or ``in_chans``
            is not 3.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise ImportError(
            f"backbone 'torchvision:{name}' needs torchvision, which is not installed: "
            "pip install torchvision"
        ) from error
    if in_chans != 3:
        raise ValueError(f"in_chans must be 3 for a torchvision backbone, got {in_chans}")
    if name not in models.list_models():
        raise ValueError(f"backbone 'torchvision:{name}' is unknown to torchvision")
    return without_classifier(models.get_model(name, weights=None), name)


def without_classifier(network: nn.Module, name: str) -> nn.Module:
    """Replaces the classifier of ``network`` by the identity and sets its ``num_features``.

    Raises:
        ValueError: no part named like a classifier of torchvision has a linear layer.
    """
    for part in _CLASSIFIERS:
        classifier = getattr(network, part, None)
        if isinstance(classifier, nn.Module):
            linear = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)]
            if linear:
                setattr(network, part, nn.Identity())
                network.num_features = linear[0].in_features  # type: ignore[assignment]
                return network
    raise ValueError(f"backbone {name!r} has no classifier named {', '.join(_CLASSIFIERS)}")
