"""Inference: images take glimpses in slots and leave as soon as the network is sure."""

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
