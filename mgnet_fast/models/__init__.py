"""Networks that classify by glimpses, their backbones, checkpoints and costs."""

from .checkpoints import load_checkpoint, save_checkpoint
from .config import MGNetConfig
from .mgnet import MGNet
from .multiply_adds import count_multiply_adds
from .published import published_forward
from .registry import create_model, list_models

__all__ = [
    "MGNet",
    "MGNetConfig",
    "count_multiply_adds",
    "create_model",
    "list_models",
    "load_checkpoint",
    "published_forward",
    "save_checkpoint",
]
