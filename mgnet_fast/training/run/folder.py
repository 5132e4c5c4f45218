"""The folder of a run: checks before the run, and the weights it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgnet_fast.evaluation.accuracy import Accuracy
from mgnet_fast.models.files.checkpoints import save_checkpoint
from mgnet_fast.training.distributed import Workers
from mgnet_fast.training.recipe import Recipe
from mgnet_fast.training.run.snapshot import FILE_NAME as SNAPSHOT_NAME
from mgnet_fast.training.run.snapshot import read_snapshot
from mgnet_fast.training.trainer import Trainer

MODEL_NAME = "model.safetensors"
_TAKEN_FROM_SAVED = {"weights", "backbone_weights", "left_out"}  # not given again to resume


def save_weights(
    trainer: Trainer,
    path: Path,
    accuracy: Accuracy,
    facts: dict[str, Any],
    header: dict[str, str],
) -> None:
    """Write the averaged weights with their metadata; only the main process does."""
    if not trainer.workers.is_main:
        return
    history = {
        **header,
        "dataset": str(facts["dataset"]),
        "epochs": f"{trainer.epochs_done} of {trainer.recipe.epochs}",
        "seed": str(facts["seed"]),
        "accuracy": " ".join(f"{share:.4f}" for share in accuracy.accuracy),
    }
    save_checkpoint(trainer.average.model, path, metadata=history)


def saved_run(folder: Path, resume: bool) -> dict[str, Any] | None:
    """The snapshot to resume; None for a new run.

    Raises:
        ValueError: there is no run to resume, or a new run would overwrite one.
    """
    if resume:
        return read_snapshot(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder, got a file: {folder}")
    if (folder / SNAPSHOT_NAME).exists():
        raise ValueError(
            f"out must be a new folder, got {folder} with a run in it; resume it or choose another"
        )
    return None


def check_same_run(
    folder: Path, saved: dict[str, Any], recipe: Recipe, facts: dict[str, Any]
) -> None:
    """Check that the saved run may be resumed with this recipe and these facts.

    Raises:
        ValueError: it was started with other options; the differing fields are named.
    """
    different = recipe.differences(saved["recipe"])
    before = saved["facts"]
    now = facts | {k: None for k in before if k not in facts and k not in _TAKEN_FROM_SAVED}
    different += [f"{k}: {before.get(k)} -> {v}" for k, v in now.items() if before.get(k) != v]
    if different:
        raise ValueError(
            f"the run in {folder} can only be resumed with the options it was started with; "
            f"these differ (started -> now): {'; '.join(different)}"
        )


def prepare_folder(folder: Path, workers: Workers) -> None:
    """Make the folder; all processes continue once it exists.

    Raises:
        ValueError: it cannot be written to.
    """
    if workers.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"out must be a folder to write in, got {folder} ({error})") from error
    workers.barrier()
