"""Training: recipes, the loop and its parts; run/ has complete runs with files and logs."""

from mgnet_fast.models.mgnet.objective import Objective
from mgnet_fast.training.recipe import RECIPES, Recipe, antialiases, get_recipe, hides_first
from mgnet_fast.training.run.epoch_report import EpochReport
from mgnet_fast.training.run.folder_data import ImageOptions
from mgnet_fast.training.run.launch import RunSummary, fitting_recipe, run
from mgnet_fast.training.trainer import Trainer, TrainingDivergedError

__all__ = [
    "RECIPES",
    "EpochReport",
    "ImageOptions",
    "Objective",
    "Recipe",
    "RunSummary",
    "Trainer",
    "TrainingDivergedError",
    "antialiases",
    "fitting_recipe",
    "get_recipe",
    "hides_first",
    "run",
]
