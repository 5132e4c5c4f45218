"""mgnet_fast: images classified by a few small, learned glimpses, fast.

The op on its own: :func:`glimpse`, :func:`glimpse_from_logits`. The network:
:func:`create_model`, :class:`MGNet`. What runs here and why: :func:`backends`,
``python -m mgnet_fast.env``.
"""

from .functional import glimpse, glimpse_from_logits, rescale_gradient
from .models import (
    MGNet,
    MGNetConfig,
    create_model,
    list_models,
)
from .ops.backends import backends

__version__ = "0.1.0"

__all__ = [
    "MGNet",
    "MGNetConfig",
    "__version__",
    "backends",
    "create_model",
    "glimpse",
    "glimpse_from_logits",
    "list_models",
    "rescale_gradient",
]
