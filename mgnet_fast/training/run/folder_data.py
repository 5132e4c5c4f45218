"""Folders of images as the data of a run, checked and shared among processes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mgnet_fast.data.folders.auto_augment import ADDED_BY
from mgnet_fast.data.folders.image_check import check_images
from mgnet_fast.data.folders.image_folder import FolderImages, Unreadable, UnreadableImagesError
from mgnet_fast.data.folders.image_tree import ImageTree, read_image_tree
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.files.trained_on import TrainedOn
from mgnet_fast.training.distributed import Workers
from mgnet_fast.training.run.data import LeftOut, LoadedData
from mgnet_fast.training.run.image_presets import PRESETS, default_preset
from mgnet_fast.training.run.progress import Progress

MAX_UNREADABLE = 10
FOLDER = "folder"
EVALUATION_BATCH = 128


@dataclass(frozen=True)
class ImageOptions:
    """Options of a run on folders of images.

    Attributes:
        preset: "imagenet100", "tiny-imagenet" or "fine-tune"; None: by the folder's layout.
        image_size: side of the network's images in pixels; None: the preset's.
        glimpse_size: side of a glimpse in pixels; None: the preset's share of the image.
        auto_augment: "auto", "torchvision", "kornia" or "none".
        smallest_crop: smallest share of an image's area that a training crop keeps; None: the
            preset's.
        workers: decoding processes per training process; None: by the number of processors.
        max_unreadable: how many unreadable images may be skipped.
        check: decode every image once before the run; otherwise the first unreadable image ends
            it.
        ignore_exif: do not turn photographs as their EXIF orientation says.
    """

    preset: str | None = None
    image_size: int | None = None
    glimpse_size: int | None = None
    auto_augment: str = "auto"
    smallest_crop: float | None = None
    workers: int | None = None
    max_unreadable: int = MAX_UNREADABLE
    check: bool = True
    ignore_exif: bool = False


class FolderData:
    """Folders with one folder per class, as a `RunData`.

    Args:
        data_dir: see `read_image_tree`.
        model: name of the network.
        num_glimpses: T; None: the preset's.
        seed: of order, crops, flips and augmentation.
        options: the other options.

    Raises:
        ValueError: the folder or an option does not fit.
        ImportError: the requested library for AutoAugment is missing.
    """

    def __init__(
        self,
        data_dir: str | Path,
        *,
        model: str,
        num_glimpses: int | None,
        seed: int,
        options: ImageOptions,
    ) -> None:
        for name, value in (
            ("workers", options.workers),
            ("max_unreadable", options.max_unreadable),
        ):
            if value is not None and value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        name = options.preset or default_preset(Path(data_dir))
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
        preset, size = PRESETS[name], options.image_size or PRESETS[name].image_size
        self._transform = preset.transform(size, options.auto_augment, options.smallest_crop)
        self._train = read_image_tree(data_dir, "train")
        self._val = read_image_tree(data_dir, "val", classes=self._train.classes)
        self._seed, self._options = seed, options
        self.model_options: dict[str, Any] = {
            **preset.model_options(model, size, options.glimpse_size, num_glimpses),
            "num_classes": len(self._train.classes),
        }
        self.facts: dict[str, Any] = {
            "dataset": FOLDER,
            "images": {"train": len(self._train), "val": len(self._val)},
            "classes": len(self._train.classes),
            "digest": {"train": self._train.digest(), "val": self._val.digest()},
            "image_size": size,
            "resize": self._transform.resize,
            "glimpse_size": self.model_options.get("glimpse_size"),
            "stem_pool": preset.stem_pool,
            "auto_augment": self._transform.auto_augment,
        }
        if self._transform.min_area != PRESETS["imagenet100"].smallest_crop:
            self.facts["smallest_crop"] = self._transform.min_area  # older runs name none
        if options.ignore_exif:
            self.facts["ignore_exif"] = True  # runs without it may be older than the option
        self.header = TrainedOn(self._train.classes, size, self._transform.resize).to_header()

    def load(
        self, network: GlimpseNetwork, workers: Workers, left_out: LeftOut | None, progress: bool
    ) -> LoadedData:
        device = next(network.parameters()).device
        count = self._options.workers
        if count is None:
            count = default_workers(device)
        trees = {"train": self._train, "val": self._val}
        if left_out is None:
            left_out = {}
            if self._options.check:
                left_out = self._unreadable(trees, count, workers, progress)
        kept = {name: tree.without(left_out.get(name, [])) for name, tree in trees.items()}
        train, test = (
            FolderImages(
                kept[name],
                self._transform,
                training=name == "train",
                channels=network.config.in_chans,
                seed=self._seed,
                workers=count,
                pin_memory=device.type == "cuda",
                ignore_exif=self._options.ignore_exif,
            )
            for name in ("train", "val")
        )
        how = f"AutoAugment by {self._transform.auto_augment}"
        if self._transform.auto_augment == "none":
            how = "no AutoAugment"
            if self._options.auto_augment == "auto":
                how += f" (neither torchvision nor kornia is installed; {ADDED_BY})"
        description = (
            f"{len(train):,} images of {train.num_classes} classes, {self._transform.image_size} "
            f"px, {how}, {count} process{'' if count == 1 else 'es'} to decode"
        )
        return LoadedData(train, test, left_out, description, evaluation_batch=EVALUATION_BATCH)

    def _unreadable(
        self, trees: dict[str, ImageTree], count: int, workers: Workers, progress: bool
    ) -> LeftOut:
        """Decode all images, each process its share; return the unreadable ones."""
        bar = Progress(
            sum(len(range(workers.rank, len(tree), workers.world_size)) for tree in trees.values()),
            enabled=progress and workers.is_main,
        )
        found: dict[str, Unreadable] = {}
        try:
            for name, tree in trees.items():
                mine: Unreadable = {}
                for tried, unreadable in check_images(
                    tree, workers=count, rank=workers.rank, world_size=workers.world_size
                ):
                    mine |= unreadable
                    bar.advance(tried, f"checking the images of {name}")
                shares = workers.gathered(mine)
                found[name] = {path: why for share in shares for path, why in share.items()}
        finally:
            bar.close()
        total = {f"{name}/{path}": why for name in found for path, why in found[name].items()}
        if len(total) > self._options.max_unreadable:
            root = self._train.root.parent
            raise UnreadableImagesError(root, total, self._options.max_unreadable)
        if workers.is_main:
            for path, why in total.items():
                print(f"skipped: {path}: {why}", file=sys.stderr)
        return {name: sorted(found[name]) for name in found}


def default_workers(device: torch.device) -> int:
    """Decoding processes per training process: its share of the processors on a GPU, up to 16; a
    quarter of that if the processors also train."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    share = max(processors // here, 1)
    return min(share, 16) if device.type == "cuda" else max(share // 4, 1)
