"""A complete training run: check everything, train, and leave checkpoint and log in a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mgnet_fast.data import told_dataset
from mgnet_fast.evaluation.accuracy import Accuracy
from mgnet_fast.threads import fixed_threads
from mgnet_fast.training.distributed import device_for, joined_workers
from mgnet_fast.training.recipe import Recipe, antialiases, get_recipe, hides_first
from mgnet_fast.training.run.data import LeftOut, MnistData, RunData
from mgnet_fast.training.run.folder import (
    MODEL_NAME,
    check_same_run,
    prepare_folder,
    save_weights,
    saved_run,
)
from mgnet_fast.training.run.folder_data import FOLDER, FolderData, ImageOptions
from mgnet_fast.training.run.image_presets import PRESETS, default_preset
from mgnet_fast.training.run.log import RunLog, read_log
from mgnet_fast.training.run.new_network import new_network, synchronised
from mgnet_fast.training.run.progress import Progress
from mgnet_fast.training.run.start_weights import Start
from mgnet_fast.training.trainer import Trainer


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Attributes:
        accuracy: of the saved weights on the test scenes, after each glimpse.
        epochs: of the recipe.
        seconds: time spent in all epochs, those before a resumption included.
        checkpoint: the weights (safetensors).
        log: the run's log (JSON lines).
    """

    accuracy: Accuracy
    epochs: int
    seconds: float
    checkpoint: Path
    log: Path


def run(
    *,
    data_dir: str | Path,
    out: str | Path,
    dataset: str | None = None,
    model: str = "mgnet_toy",
    recipe: str | Recipe = "default",
    epochs: int | None = None,
    batch_size: int | None = None,
    num_glimpses: int | None = None,
    glimpse_loss: str = "reference",
    antialias: bool | None = None,
    network_fields: Mapping[str, Any] | None = None,
    noise_std: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    compiled: bool = False,
    checkpoint_glimpses: bool = False,
    sync_batch_norm: bool = False,
    images: ImageOptions | None = None,
    weights: str | Path | None = None,
    backbone_weights: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    tensorboard: bool = True,
) -> RunSummary:
    """Train a network; write ``model.safetensors``, ``log.jsonl`` and ``training.pt`` to `out`.

    Everything is checked before the first step. Both files of weights are replaced atomically after
    every epoch, so an interrupted run loses at most the current epoch; `resume` continues it with
    the same numbers, bit for bit. Under ``torchrun`` every process calls this function with the
    same arguments. On a CPU, one process per core with one thread each trains faster than one
    process
    with many threads: processes wait for each other once per step, threads many times in every
    layer.

    Args:
        data_dir: folder with MNIST's four IDX files, or with ``train/`` and ``val/`` of images.
        out: folder of the run; created if missing.
        dataset: a name of `mgnet_fast.data.DATASETS`, or "folder"; None: by the contents of
            `data_dir`.
        model: a name of `mgnet_fast.list_models`.
        recipe: "default", "paper", "imagenet100", "tiny-imagenet", or a `Recipe`. On folders the
            first two mean the recipe that fits the folder's layout. "default" includes
            `hides_first`.
        epochs, batch_size: override the recipe; None keeps it.
        num_glimpses: overrides the model's; None keeps it.
        glimpse_loss: "reference" (glimpses 2..T) or "paper" (1..T).
        antialias: glimpses average the pixels between their samples, in training and ever after:
            see `MGNetConfig`. None: that of the run to resume, or that of the recipe if it is
            given by name (MGNets do by "default"), or the network's own.
        network_fields: further fields of the network's config, such as ``{"levels": 2}``.
        noise_std: overrides the dataset's.
        seed: of the initial weights and of the training scenes. The test scenes are fixed.
        threads: of PyTorch during the run; None leaves them.
        device: "cpu", "cuda" or "cuda:N".
        precision: "fp32" or "bf16" (autocast).
        compiled: use ``torch.compile``.
        checkpoint_glimpses: less memory for more time: see `MGNet`.
        sync_batch_norm: batch norm over the images of all processes; GPUs only.
        images: further options for folders.
        weights: checkpoint to start from instead of random weights, as `load_checkpoint` reads
            it. Class heads for another number of classes are initialised anew. Not needed to
            resume.
        backbone_weights: state dict of a classifier of torchvision or timm, whose backbone to
            start from, see `load_backbone_weights`. `network_fields` must have its mean and std.
            Not needed to resume.
        resume: continue the run in `out`.
        progress: show a bar, or plain lines without a terminal.
        tensorboard: write TensorBoard's files to ``out/tensorboard`` if it is installed.

    Raises:
        ValueError: an argument, a data file or the run to resume does not fit.
        TrainingDivergedError: the loss is no longer finite.
    """
    kind = told_dataset(data_dir) if dataset is None else dataset
    saved = saved_run(Path(out), resume)
    if isinstance(recipe, str):
        recipe = fitting_recipe(recipe, kind, data_dir)
        if antialias is None and saved is None:
            antialias = antialiases(recipe, model)
    if antialias is None and saved is not None:
        antialias = saved["facts"].get("antialias")
    changes = hides_first(recipe, model, antialias) if isinstance(recipe, str) else {}
    chosen = get_recipe(recipe, epochs=epochs, batch_size=batch_size, **changes)
    folder = Path(out)
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    start = Start(*(None if file is None else Path(file) for file in (weights, backbone_weights)))
    if saved is None:
        start.check(network_fields or {})
    if saved is not None and kind == FOLDER:
        images = _with_saved_library(images or ImageOptions(), saved["facts"])
    data = _data(kind, data_dir, model, num_glimpses, noise_std, seed, images, recipe)
    with fixed_threads(threads), joined_workers(device) as workers:
        place = device_for(device, workers)
        network = new_network(
            model, chosen, data, num_glimpses, glimpse_loss, seed, antialias, network_fields
        ).to(place)
        if sync_batch_norm:
            network = synchronised(network, workers)
        own_scale = getattr(network.config, "gradient_scale", None)
        chosen = get_recipe(chosen, gradient_scale=own_scale)
        facts = {
            **data.facts,
            "model": model,
            "num_glimpses": network.config.num_glimpses,
            "glimpse_loss": glimpse_loss,
            "seed": seed,
            "precision": precision,
        }
        if antialias or (saved is not None and "antialias" in saved["facts"]):
            facts["antialias"] = network.antialias  # runs without it may be older than the option
        if network_fields:
            facts["network_fields"] = dict(network_fields)
        left_out: LeftOut | None = None
        facts |= start.facts()
        begins = ""
        if saved is not None:
            check_same_run(folder, saved, chosen, facts)
            left_out = saved["facts"].get("left_out")
            facts = saved["facts"] | facts
        else:
            begins = start.load(network, model)
        loaded = data.load(network, workers, left_out, progress)
        if loaded.left_out:
            facts["left_out"] = loaded.left_out
        trainer = Trainer(
            network,
            loaded.train,
            loaded.test,
            chosen,
            workers=workers,
            precision=precision,
            compiled=compiled,
            checkpoint_glimpses=checkpoint_glimpses,
            evaluation_batch=loaded.evaluation_batch,
        )
        if saved is not None:
            trainer.load_state(saved)
        prepare_folder(folder, workers)
        bar = Progress(
            trainer.total_steps,
            done_steps=trainer.epochs_done * trainer.steps_per_epoch,
            enabled=progress and workers.is_main,
        )
        if trainer.epochs_done < chosen.epochs:
            bar.say(_plan(trainer, folder, model, loaded.description) + begins)
        try:
            return _fit(trainer, folder, facts, bar, header=data.header, tensorboard=tensorboard)
        finally:
            trainer.leave_group()


def fitting_recipe(name: str, dataset: str, data_dir: str | Path) -> str:
    """The recipe of this name; on folders "default" and "paper" mean the one that fits the layout.

    Raises:
        ValueError: the recipe is for the other kind of data.
    """
    if dataset == FOLDER and name in ("default", "paper"):
        return default_preset(Path(data_dir))
    if dataset != FOLDER and name in PRESETS:
        raise ValueError(f"recipe {name!r} is for folders of images, got dataset {dataset!r}")
    return name


def _with_saved_library(images: ImageOptions, facts: dict[str, Any]) -> ImageOptions:
    """ "auto" keeps the AutoAugment of the resumed run, whatever was installed since."""
    if images.auto_augment != "auto" or "auto_augment" not in facts:
        return images
    return replace(images, auto_augment=facts["auto_augment"])


def _data(
    kind: str,
    data_dir: str | Path,
    model: str,
    num_glimpses: int | None,
    noise_std: float | None,
    seed: int,
    images: ImageOptions | None,
    recipe: str | Recipe,
) -> RunData:
    if kind != FOLDER:
        if images is not None:
            raise ValueError(
                f"images must be None unless the dataset is a folder, got dataset {kind!r}"
            )
        return MnistData(kind, data_dir, noise_std, seed)
    if noise_std is not None:
        raise ValueError(f"noise_std must be None for folders of images, got {noise_std}")
    options = images or ImageOptions()
    if options.preset is None and isinstance(recipe, str):
        options = replace(options, preset=recipe)
    return FolderData(data_dir, model=model, num_glimpses=num_glimpses, seed=seed, options=options)


def _fit(
    trainer: Trainer,
    folder: Path,
    facts: dict[str, Any],
    bar: Progress,
    *,
    header: dict[str, str],
    tensorboard: bool,
) -> RunSummary:
    workers, recipe, done = trainer.workers, trainer.recipe, trainer.epochs_done
    log = RunLog(folder, epochs_done=done, tensorboard=tensorboard) if workers.is_main else None
    if log is not None and done == 0:
        log.write({"kind": "run", **facts, **_machine(trainer), "recipe": recipe.to_dict()})
    elif log is not None and done < recipe.epochs:
        log.write({"kind": "resume", "epoch": done, **_machine(trainer)})
    checkpoint = folder / MODEL_NAME
    accuracy: Accuracy | None = None
    try:
        for report in trainer.fit(folder, log, bar, facts):
            accuracy = report.accuracy
            save_weights(trainer, checkpoint, accuracy, facts, header)
    finally:
        bar.close()
        if log is not None:
            log.close()
    if accuracy is None:
        accuracy = trainer.evaluate()
        save_weights(trainer, checkpoint, accuracy, facts, header)
    workers.barrier()
    rows = read_log(folder / "log.jsonl")
    seconds = sum(row["seconds"] for row in rows if row.get("kind") == "epoch")
    return RunSummary(accuracy, recipe.epochs, seconds, checkpoint, folder / "log.jsonl")


def _plan(trainer: Trainer, folder: Path, model: str, images: str) -> str:
    recipe, workers, threads = trainer.recipe, trainer.workers, torch.get_num_threads()
    left = recipe.epochs - trainer.epochs_done
    processes = f"{workers.world_size} processes of " if workers.world_size > 1 else ""
    return (
        f"{model} on {images}: {left} epoch{'s' if left > 1 else ''} of "
        f"{trainer.steps_per_epoch} steps, {processes}{threads} "
        f"thread{'s' if threads > 1 else ''}; each epoch is saved in {folder}"
    )


def _machine(trainer: Trainer) -> dict[str, Any]:
    return {
        "device": trainer.device.type,
        "threads": torch.get_num_threads(),
        "processes": trainer.workers.world_size,
        "torch": torch.__version__,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
