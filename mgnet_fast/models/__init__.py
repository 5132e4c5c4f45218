"""Glimpse networks: the protocol, its families (mgnet/), backbones, files and cost counts."""

from .files import hub, published_code  # noqa: F401 - their functions enter themselves: see FromFiles
from .files.checkpoints import load_checkpoint, save_checkpoint
from .ltpa.attention import SpatialAttention
from .ltpa.config import LTPAConfig
from .ltpa.network import LTPA
from .mgnet.config import MGNetConfig
from .mgnet.network import MGNet
from .mgnet.published import published_forward
from .multiply_adds import count_multiply_adds
from .network import GlimpseNetwork
from .registry import create_model, list_models
from .tnet.config import TNetConfig
from .tnet.network import TNet

__all__ = [
    "LTPA",
    "GlimpseNetwork",
    "LTPAConfig",
    "MGNet",
    "MGNetConfig",
    "SpatialAttention",
    "TNet",
    "TNetConfig",
    "count_multiply_adds",
    "create_model",
    "list_models",
    "load_checkpoint",
    "published_forward",
    "save_checkpoint",
]
