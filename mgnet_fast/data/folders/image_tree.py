"""The images and classes of a folder with one folder per class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgnet_fast.data.image_files import SUFFIXES, is_hidden

SPLITS = {"train": ("train",), "val": ("val", "validation")}
_TINY_CLASSES = "wnids.txt"
_TINY_LABELS = "val_annotations.txt"
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class ImageTree:
    """The images of one split.

    Attributes:
        root: the folder that names are relative to.
        classes: names of the classes, in the order of their labels.
        names: paths below `root` as bytes of the file system, [N].
        labels: int64 [N].
    """

    root: Path
    classes: tuple[str, ...]
    names: npt.NDArray[np.bytes_]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        return os.fsdecode(self.names[index])

    def path(self, index: int) -> Path:
        return self.root / self.name(index)

    def without(self, names: Sequence[str]) -> ImageTree:
        """The same tree without these images."""
        keep = ~np.isin(self.names, np.array([os.fsencode(name) for name in names], dtype=bytes))
        return ImageTree(self.root, self.classes, self.names[keep], self.labels[keep])

    def digest(self) -> str:
        """A digest of classes, names and labels; equal for the same images."""
        content = hashlib.sha256("\n".join(self.classes).encode("utf-8", "surrogateescape"))
        content.update(b"\0".join(self.names.tolist()))
        content.update(self.labels.tobytes())
        return content.hexdigest()[:16]


def is_image_tree(data_dir: Path) -> bool:
    """Whether this folder has a layout that `read_image_tree` accepts as "train"."""
    return (data_dir / "train").is_dir()


def is_tiny_imagenet(data_dir: Path) -> bool:
    """Whether this folder is laid out as Tiny ImageNet is distributed."""
    return (data_dir / _TINY_CLASSES).is_file()


def read_image_tree(
    data_dir: str | Path, split: str, *, classes: Sequence[str] | None = None
) -> ImageTree:
    """The images of one split in a folder.

    Layouts:

    - ``train/CLASS/**`` and ``val/CLASS/**`` (or ``validation/``), the usual layout of ImageNet.
      All files with an image suffix in a class's folder or its subfolders count; links are
      followed; names that begin with a dot are skipped.
    - Tiny ImageNet as distributed: ``wnids.txt``, ``train/CLASS/images/*``, and ``val/images/*``
      with their classes in ``val/val_annotations.txt``.
    - ``CLASS/**`` alone, for "val".

    Classes are numbered in the order of their names, unless `classes` gives another order.

    Args:
        data_dir: the folder.
        split: "train" or "val".
        classes: the required classes, in order.

    Raises:
        ValueError: a folder or file is missing, the classes differ from the required ones, a class
            has no image, or an annotation is malformed.
    """
    data_dir = Path(data_dir)
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if not data_dir.is_dir():
        raise ValueError(
            f"data_dir must be a folder of images, got {data_dir}, which does not exist"
        )
    root = _split_folder(data_dir, split)
    if (root / _TINY_LABELS).is_file() and is_tiny_imagenet(data_dir):
        found = _annotated(root)
    else:
        found = _class_folders(root)
    wanted = sorted(found) if classes is None else list(classes)
    if classes is None and is_tiny_imagenet(data_dir):
        wanted = sorted((data_dir / _TINY_CLASSES).read_text(encoding="utf-8").split())
    _check_classes(root, found, wanted)
    names = [os.fsencode(name) for each in wanted for name in found[each]]
    labels = np.repeat(np.arange(len(wanted)), [len(found[each]) for each in wanted])
    return ImageTree(root, tuple(wanted), np.array(names, dtype=bytes), labels.astype(np.int64))


def _split_folder(data_dir: Path, split: str) -> Path:
    for name in SPLITS[split]:
        if (data_dir / name).is_dir():
            return data_dir / name
    if split == "val" and not is_image_tree(data_dir):
        return data_dir
    raise ValueError(
        f"data_dir must have a folder {' or '.join(SPLITS[split])} with one folder per class, "
        f"got {data_dir} without"
    )


def _class_folders(root: Path) -> dict[str, list[str]]:
    with os.scandir(root) as entries:
        folders = [each.name for each in entries if each.is_dir() and not is_hidden(each.name)]
    if len(folders) < 2:
        loose = sum(1 for _ in _images_below(root, ""))
        also = f" and {loose} image files beside them" if loose and not folders else ""
        raise ValueError(
            f"{root} must hold at least 2 folders, one per class, got {len(folders)} folders{also}"
        )
    return {name: sorted(_images_below(root, name)) for name in sorted(folders)}


def _images_below(root: Path, folder: str) -> Iterator[str]:
    """Names below root of the images in a folder and its subfolders."""
    top = os.path.join(root, folder)
    for place, inner, files in os.walk(top):
        inner[:] = [name for name in inner if not is_hidden(name)]
        inside = os.path.relpath(place, root)
        for name in files:
            if not is_hidden(name) and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.normpath(os.path.join(inside, name))


def _annotated(root: Path) -> dict[str, list[str]]:
    """Tiny ImageNet's validation images: each line holds file, class and box, tab-separated."""
    found: dict[str, list[str]] = {}
    table = root / _TINY_LABELS
    there = {entry.name for entry in os.scandir(root / "images")}
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split("\t")
        if len(words) < 2 or not words[1]:
            raise ValueError(f"{table}: wanted file, class and box in line {number}, got {line!r}")
        if words[0] not in there:
            raise ValueError(f"{table}: line {number} names {words[0]!r}, which images/ lacks")
        found.setdefault(words[1], []).append(os.path.join("images", words[0]))
    return found


def _check_classes(root: Path, found: dict[str, list[str]], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    others = [name for name in found if name not in set(wanted)]
    if missing or others:
        parts = [
            f"{len(names)} {what} ({_listed(names)})"
            for what, names in (("missing", missing), ("not wanted", others))
            if names
        ]
        raise ValueError(
            f"{root} must have the {len(wanted)} classes wanted of it, got {len(found)}: "
            f"{', '.join(parts)}"
        )
    empty = [name for name in wanted if not found[name]]
    if empty:
        raise ValueError(
            f"{root} must have images of every class, got none in {len(empty)} of "
            f"{len(wanted)}: {_listed(empty)}"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
