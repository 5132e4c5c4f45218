"""Evaluation: what a network gets right, glimpse by glimpse."""

from mgnet_fast.evaluation.accuracy import Accuracy, check_fit, evaluate, wilson_interval

__all__ = ["Accuracy", "check_fit", "evaluate", "wilson_interval"]
