"""Evaluation: accuracy, attacks, corruptions, costs, and the calibration of early exits."""

from mgnet_fast.evaluation.accuracy import Accuracy, check_fit, evaluate, wilson_interval
from mgnet_fast.evaluation.attack_settings import AttackSettings
from mgnet_fast.evaluation.attacks import Attacked, fgsm, pgd
from mgnet_fast.evaluation.exits.calibration import ExitCalibration, ExitOutcome, calibrate_exit
from mgnet_fast.evaluation.exits.calibration_error import (
    expected_calibration_error,
    fit_temperature,
)
from mgnet_fast.evaluation.exits.learning import learn_exit
from mgnet_fast.evaluation.robustness import Robustness, evaluate_attack
from mgnet_fast.evaluation.segmentation import (
    Overlap,
    above_otsu,
    attention_segments,
    evaluate_segments,
    jaccard,
    saliency,
)

__all__ = [
    "Accuracy",
    "AttackSettings",
    "Attacked",
    "ExitCalibration",
    "ExitOutcome",
    "Overlap",
    "Robustness",
    "above_otsu",
    "attention_segments",
    "calibrate_exit",
    "check_fit",
    "evaluate",
    "evaluate_attack",
    "evaluate_segments",
    "expected_calibration_error",
    "fgsm",
    "fit_temperature",
    "jaccard",
    "learn_exit",
    "pgd",
    "saliency",
    "wilson_interval",
]
