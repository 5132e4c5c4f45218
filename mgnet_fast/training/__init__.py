"""Training: objective, recipes, the loop, and whole runs."""

from mgnet_fast.training.launch import RunSummary, run
from mgnet_fast.training.objective import Objective
from mgnet_fast.training.recipe import RECIPES, Recipe, get_recipe
from mgnet_fast.training.trainer import EpochReport, Trainer, TrainingDivergedError

__all__ = [
    "RECIPES",
    "EpochReport",
    "Objective",
    "Recipe",
    "RunSummary",
    "Trainer",
    "TrainingDivergedError",
    "get_recipe",
    "run",
]
