"""Inference: images take glimpses in slots and leave as soon as the network is sure."""

from .deviation import Deviation
from .engine import Engine
from .exit_file import load_exit, save_exit
from .exits import Confidence, Entropy, ExitRule, Margin, Never
from .learned_exit import LearnedExit
from .prediction import Prediction

__all__ = [
    "Confidence",
    "Deviation",
    "Engine",
    "Entropy",
    "ExitRule",
    "LearnedExit",
    "Margin",
    "Never",
    "Prediction",
    "load_exit",
    "save_exit",
]
