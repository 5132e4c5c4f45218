"""Evaluation: what a network gets right, glimpse by glimpse, and when to stop looking."""

from mgnet_fast.evaluation.accuracy import Accuracy, check_fit, evaluate, wilson_interval
from mgnet_fast.evaluation.calibration_error import expected_calibration_error, fit_temperature
from mgnet_fast.evaluation.exit_calibration import ExitCalibration, ExitOutcome, calibrate_exit

__all__ = [
    "Accuracy",
    "ExitCalibration",
    "ExitOutcome",
    "calibrate_exit",
    "check_fit",
    "evaluate",
    "expected_calibration_error",
    "fit_temperature",
    "wilson_interval",
]
