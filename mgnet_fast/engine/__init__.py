"""Inference: glimpses stepped in slots, images that leave as soon as they are sure."""

from .deviation import Deviation
from .engine import Engine
from .exits import Confidence, Entropy, ExitRule, Margin, Never
from .prediction import Prediction

__all__ = [
    "Confidence",
    "Deviation",
    "Engine",
    "Entropy",
    "ExitRule",
    "Margin",
    "Never",
    "Prediction",
]
