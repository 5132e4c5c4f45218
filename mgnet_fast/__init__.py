"""mgnet_fast: classifies images by a few small, learned glimpses.

The op: :func:`glimpse`, :func:`glimpse_from_logits`. The network: :func:`create_model`,
:class:`MGNet`, :class:`TNet`. Your own network: :class:`GlimpseNetwork`. Streams of images:
:class:`Engine`. Backends on this machine: :func:`backends`, ``python -m mgnet_fast.env``.

Names are looked up at first use, so the commands answer without waiting for torch. The ops of
``torch.ops.mgnet_fast`` exist once ``mgnet_fast.functional`` is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .log import configure_from_environment

if TYPE_CHECKING:
    from .data.reading.file_image import FileImage, open_image
    from .engine import (
        Confidence,
        Deviation,
        Engine,
        Entropy,
        LearnedExit,
        Margin,
        Never,
        Prediction,
        load_exit,
        save_exit,
    )
    from .functional import (
        FoldedFusion,
        attention_pool,
        fuse_glimpse,
        glimpse,
        glimpse_from_logits,
        rescale_gradient,
    )
    from .models import (
        LTPA,
        GlimpseNetwork,
        LTPAConfig,
        MGNet,
        MGNetConfig,
        SpatialAttention,
        TNet,
        TNetConfig,
        count_multiply_adds,
        create_model,
        list_models,
        load_checkpoint,
        save_checkpoint,
    )
    from .ops.backends.choice import backends
    from .ops.images.image_pool import ImagePool
    from .ops.images.image_ring import ImageRing

__version__ = "0.2.0.dev0"

__all__ = [
    "LTPA",
    "Confidence",
    "Deviation",
    "Engine",
    "Entropy",
    "FileImage",
    "FoldedFusion",
    "GlimpseNetwork",
    "ImagePool",
    "ImageRing",
    "LTPAConfig",
    "LearnedExit",
    "MGNet",
    "MGNetConfig",
    "Margin",
    "Never",
    "Prediction",
    "SpatialAttention",
    "TNet",
    "TNetConfig",
    "__version__",
    "attention_pool",
    "backends",
    "count_multiply_adds",
    "create_model",
    "fuse_glimpse",
    "glimpse",
    "glimpse_from_logits",
    "list_models",
    "load_checkpoint",
    "load_exit",
    "open_image",
    "rescale_gradient",
    "save_checkpoint",
    "save_exit",
]

_HOME = {
    "Confidence": "engine",
    "Deviation": "engine",
    "Engine": "engine",
    "Entropy": "engine",
    "FileImage": "data.reading.file_image",
    "FoldedFusion": "functional",
    "GlimpseNetwork": "models",
    "ImagePool": "ops.images.image_pool",
    "ImageRing": "ops.images.image_ring",
    "LTPA": "models",
    "LTPAConfig": "models",
    "LearnedExit": "engine",
    "MGNet": "models",
    "MGNetConfig": "models",
    "Margin": "engine",
    "Never": "engine",
    "Prediction": "engine",
    "TNet": "models",
    "TNetConfig": "models",
    "SpatialAttention": "models",
    "attention_pool": "functional",
    "backends": "ops.backends.choice",
    "count_multiply_adds": "models",
    "create_model": "models",
    "fuse_glimpse": "functional",
    "glimpse": "functional",
    "glimpse_from_logits": "functional",
    "list_models": "models",
    "load_checkpoint": "models",
    "load_exit": "engine",
    "open_image": "data.reading.file_image",
    "rescale_gradient": "functional",
    "save_checkpoint": "models",
    "save_exit": "engine",
}
_MODULES = ("data", "engine", "evaluation", "functional", "models", "ops", "pictures", "training")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


configure_from_environment()
