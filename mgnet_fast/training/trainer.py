"""The training loop; each epoch is saved and logged, and a run can be resumed after it."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mgnet_fast.data.labelled_images import LabelledImages
from mgnet_fast.evaluation.accuracy import Accuracy, check_fit, evaluate
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.training.averaging import WeightAverage
from mgnet_fast.training.distributed import Workers
from mgnet_fast.training.frozen_start import FrozenStart
from mgnet_fast.training.gradient_factor import GradientFactor
from mgnet_fast.training.gradient_ratio import GradientRatio
from mgnet_fast.training.hidden_first import HiddenFirst
from mgnet_fast.training.loss_sums import LossSums
from mgnet_fast.training.recipe import Recipe
from mgnet_fast.training.run.epoch_report import PARTS, EpochReport
from mgnet_fast.training.run.log import RunLog
from mgnet_fast.training.run.progress import Progress
from mgnet_fast.training.run.snapshot import write_snapshot
from mgnet_fast.training.schedule import OneCycle, new_optimizer


class TrainingDivergedError(RuntimeError):
    """The loss is infinite or NaN. Snapshots of earlier epochs are kept."""


class Trainer:
    """Trains a glimpse network by a recipe, in one process or several.

    The loss is the network's own :meth:`GlimpseNetwork.objective`. A run is determined by the
    recipe, the seed of the scenes and the initial weights: batches follow from (seed, epoch), the
    schedule from the step. A run resumed after epoch n therefore repeats the uninterrupted one
    bit for bit, on the same machine with the same number of threads. Several processes share
    the same global batches.

    Args:
        model: the network, on its device.
        train, test: scenes; epoch 0 of ``test`` is evaluated after every epoch.
        recipe: all numbers of the optimisation. Its ``alpha`` and ``gradient_scale`` must be
            those of the network's config, if the config has such fields.
        workers: this process among those that train together.
        precision: "fp32", or "bf16" for autocast.
        compiled: compile the forward and backward pass of all steps with ``torch.compile``; on a
            GPU in CUDA graphs (not run on a GPU yet).
        checkpoint_glimpses: see :class:`GlimpseNetwork`.
        evaluation_batch: test scenes per batch.

    Attributes:
        average: holds the weights that are evaluated and saved.
        epochs_done: number of complete epochs.

    Raises:
        TypeError: ``model`` is not a glimpse network, or scenes are not labelled images.
        ValueError: model, scenes, recipe and workers do not fit each other.
    """

    def __init__(
        self,
        model: GlimpseNetwork,
        train: LabelledImages,
        test: LabelledImages,
        recipe: Recipe,
        *,
        workers: Workers | None = None,
        precision: str = "fp32",
        compiled: bool = False,
        checkpoint_glimpses: bool = False,
        evaluation_batch: int = 500,
    ) -> None:
        self.workers = workers or Workers()
        _check(model, train, test, recipe, self.workers, precision)
        self.model, self.train_scenes, self.test_scenes, self.recipe = model, train, test, recipe
        self.device = next(model.parameters()).device
        self.precision, self.evaluation_batch = precision, evaluation_batch
        self.steps_per_epoch = len(train) // recipe.batch_size
        self.total_steps = self.steps_per_epoch * recipe.epochs
        self.schedule = OneCycle(recipe, self.total_steps)
        self.objective = model.objective(
            label_smoothing=recipe.label_smoothing, size_weight=recipe.size_weight
        )
        self.optimizer = new_optimizer(model, recipe)
        self.factor = GradientFactor(model, recipe, self.total_steps)
        self.ratio = GradientRatio(model, self.steps_per_epoch, is_on=not compiled)
        self.average = WeightAverage(model, recipe.average_decay)
        self.epochs_done = 0
        model.checkpoint_glimpses = checkpoint_glimpses
        self._compiled = compiled
        self._hidden_first = HiddenFirst(model, recipe, self.total_steps)
        self._frozen_start = FrozenStart(model, recipe.frozen_epochs)
        self._frozen_start.begin(0)
        self._forward = self._wrapped()

    def fit(
        self, folder: Path, log: RunLog | None, progress: Progress, facts: dict[str, Any]
    ) -> Iterator[EpochReport]:
        """Trains the remaining epochs; yields the report of each one after saving it.

        Args:
            folder: holds the snapshot, which is replaced after each epoch.
            log, progress: get every epoch, from the main process; other processes have no log.
            facts: about the run, stored in the snapshot with the trainer's state.

        Raises:
            TrainingDivergedError: the loss is no longer finite.
        """
        while self.epochs_done < self.recipe.epochs:
            report = self._epoch(progress)
            self.epochs_done = report.epoch
            if self.workers.is_main:
                # The row first: resuming drops rows beyond the snapshot but cannot add any.
                if log is not None:
                    log.write(report.to_row())
                write_snapshot(folder, {**self.state(), "facts": facts})
                progress.epoch(
                    report.epoch, self.recipe.epochs, report.accuracy.accuracy, report.seconds
                )
            self.workers.barrier()
            yield report

    def evaluate(self) -> Accuracy:
        """Accuracy of the averaged weights on the test scenes, which the processes share."""
        if self.workers.world_size > 1:
            # Each process has its own batch norm statistics; those of process 0 are saved.
            for buffer in self.average.model.buffers():
                torch.distributed.broadcast(buffer, 0)
        return evaluate(
            self.average.model,
            self.test_scenes,
            batch_size=self.evaluation_batch,
            rank=self.workers.rank,
            world_size=self.workers.world_size,
        )

    def leave_group(self) -> None:
        """Releases the process group; only evaluation works afterwards.

        DistributedDataParallel must not hold the last reference to the group: it would end the
        group while holding the GIL, for which the group's own thread may be waiting.
        """
        self._forward = self.model
        gc.collect()

    def state(self) -> dict[str, Any]:
        """Everything that determines the remaining epochs."""
        return {
            "recipe": self.recipe.to_dict(),
            "epochs_done": self.epochs_done,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "gradient_factor": self.factor.adapted,
            "rng": torch.get_rng_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores :meth:`state`, for the same model and recipe.

        Raises:
            TypeError: ``state`` is not a mapping.
            ValueError: it lacks an entry.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping, got {type(state).__name__}")
        wanted = ("model", "average", "average_steps", "optimizer", "epochs_done", "rng")
        missing = [name for name in wanted if name not in state]
        if missing:
            raise ValueError(f"state must be one of Trainer.state(), got none of {missing}")
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.factor.adapted = state.get("gradient_factor", 1.0)
        self.epochs_done = state["epochs_done"]
        torch.set_rng_state(state["rng"])

    def _wrapped(self) -> nn.Module:
        forward: nn.Module = self.model
        if self._compiled:
            # On a GPU, reduce-overhead captures forward and backward pass in one CUDA graph each.
            mode = "reduce-overhead" if self.device.type == "cuda" else None
            forward = torch.compile(forward, fullgraph=True, mode=mode)  # type: ignore[assignment]
        if self.workers.world_size > 1:
            # With one step no region is chosen, so the localization layer gets no gradient.
            return DistributedDataParallel(
                forward,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                find_unused_parameters=self.model.config.num_glimpses == 1,
            )
        return forward

    def _epoch(self, progress: Progress) -> EpochReport:
        start = time.perf_counter()
        self.model.train()
        if self._frozen_start.begin(self.epochs_done):
            self._forward = self._wrapped()  # a wrapper knows which parameters get gradients
        losses = LossSums(len(PARTS))
        step = self.epochs_done * self.steps_per_epoch
        lr = 0.0
        for images, labels in self.train_scenes.batches(
            self.recipe.batch_size,
            epoch=self.epochs_done,
            shuffle=True,
            drop_last=True,
            rank=self.workers.rank,
            world_size=self.workers.world_size,
        ):
            lr = self.schedule.apply(self.optimizer, step)
            self.factor.apply(step)
            self._hidden_first.apply(step)
            with self.ratio.watched(step):
                losses.add(self.step(self._to_device(images), self._to_device(labels)))
            step += 1
            self._check_finite(losses, lr)
            progress.step(self.epochs_done + 1, self.recipe.epochs, losses.last)
        losses.read()
        self._check_finite(losses, lr)
        training_seconds = time.perf_counter() - start
        sums = losses.sums
        if self.workers.world_size > 1:
            shared = sums.to(self.device, torch.float32)
            torch.distributed.all_reduce(shared)
            sums = shared.double().cpu() / self.workers.world_size
        means = (sums / self.steps_per_epoch).tolist()
        accuracy = self.evaluate()
        return EpochReport(
            epoch=self.epochs_done + 1,
            parts=dict(zip(PARTS, means, strict=True)),
            accuracy=accuracy,
            lr=lr,
            seconds=time.perf_counter() - start,
            images_per_second=self.steps_per_epoch * self.recipe.batch_size / training_seconds,
            gradient_factor=self.factor.value if self.factor.is_moving else None,
            gradient_ratio=self.ratio.take(),
        )

    def _to_device(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; from pinned memory the copy is asynchronous."""
        return tensor.to(self.device, non_blocking=tensor.is_pinned())

    def _check_finite(self, losses: LossSums, lr: float) -> None:
        loss = float(losses.sums[0])
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the loss is {loss} in epoch {self.epochs_done + 1}, "
                f"at learning rate {lr:.3g}: try a lower peak_lr"
            )

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step of the optimiser; returns the loss and its parts, [4]."""
        if self.factor.is_measured:
            with self.factor.cut():
                self._gradient(images, labels)
            class_gradient = self.factor.shared_gradient()
            parts = self._gradient(images, labels)
            self.factor.follow(class_gradient)
        else:
            parts = self._gradient(images, labels)
        if self.recipe.gradient_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        self.average.update()
        return parts

    def _gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Computes the gradients of a batch; returns the loss and its parts, [4]."""
        if self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # the last outputs are used up
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            output = self._forward(images)
        parts = self.objective(output, labels)
        self.optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        absent = torch.zeros_like(parts["loss"])  # not every network's loss has all the parts
        return torch.stack([parts.get(name, absent).detach() for name in PARTS])


def _check(
    model: GlimpseNetwork,
    train: LabelledImages,
    test: LabelledImages,
    recipe: Recipe,
    workers: Workers,
    precision: str,
) -> None:
    check_fit(model, train)
    check_fit(model, test)
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be fp32 or bf16, got {precision!r}")
    if recipe.batch_size % workers.world_size:
        raise ValueError(
            f"batch_size must be a multiple of {workers.world_size} processes, "
            f"got {recipe.batch_size}"
        )
    if len(train) < recipe.batch_size:
        raise ValueError(
            f"batch_size must be at most the {len(train)} training scenes, got {recipe.batch_size}"
        )
    if len(test) == 0:
        raise ValueError("test must hold at least one scene, got 0")
    for name, wanted in (("alpha", recipe.alpha), ("gradient_scale", recipe.gradient_scale)):
        got = getattr(model.config, name, wanted)  # a network without one is trained without it
        if wanted not in (got, None) and not (name == "alpha" and model.config.num_glimpses == 1):
            raise ValueError(f"model must have the recipe's {name} = {wanted}, got {got}")
