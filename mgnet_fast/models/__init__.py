"""Networks that classify by glimpses, their backbones, checkpoints and costs."""

from .config import MGNetConfig
from .mgnet import MGNet
from .registry import create_model, list_models

__all__ = ["MGNet", "MGNetConfig", "create_model", "list_models"]
