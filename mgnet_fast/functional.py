"""The public ops. Each is documented where it is defined."""

from .ops.attention.attention_pool import attention_pool
from .ops.fusion.fuse_glimpse import fuse_glimpse
from .ops.fusion.fusion_weights import FoldedFusion
from .ops.glimpse import glimpse
from .ops.glimpse_from_logits import glimpse_from_logits
from .ops.rescale_gradient import rescale_gradient

__all__ = [
    "FoldedFusion",
    "attention_pool",
    "fuse_glimpse",
    "glimpse",
    "glimpse_from_logits",
    "rescale_gradient",
]
