"""Evaluation: accuracy, attacks, corruptions, costs, and the calibration of early exits."""

from mgnet_fast.evaluation.accuracy import Accuracy, check_fit, evaluate, wilson_interval
from mgnet_fast.evaluation.attack_settings import AttackSettings
from mgnet_fast.evaluation.attacks import Attacked, fgsm, pgd
from mgnet_fast.evaluation.calibration_error import expected_calibration_error, fit_temperature
from mgnet_fast.evaluation.exit_calibration import ExitCalibration, ExitOutcome, calibrate_exit
from mgnet_fast.evaluation.robustness import Robustness, evaluate_attack

__all__ = [
    "Accuracy",
    "AttackSettings",
    "Attacked",
    "ExitCalibration",
    "ExitOutcome",
    "Robustness",
    "calibrate_exit",
    "check_fit",
    "evaluate",
    "evaluate_attack",
    "expected_calibration_error",
    "fgsm",
    "fit_temperature",
    "pgd",
    "wilson_interval",
]
