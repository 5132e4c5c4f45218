"""Evaluation: what a network gets right, glimpse by glimpse."""

from mgnet_fast.evaluation.accuracy import Accuracy, check_fit, evaluate, wilson_interval
from mgnet_fast.evaluation.datasets import evaluate_dataset

__all__ = ["Accuracy", "check_fit", "evaluate", "evaluate_dataset", "wilson_interval"]
