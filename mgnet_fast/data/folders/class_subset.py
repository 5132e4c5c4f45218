"""Makes a subset of a tree's classes by links, such as ImageNet100 from ImageNet."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgnet_fast.data.image_files import SUFFIXES, is_hidden

SPLITS = ("train", "val")
_SHOWN = 5


@dataclass(frozen=True)
class SubsetReport:
    """What `link_classes` found and made.

    Attributes:
        classes: number of classes in the subset.
        images: number of images in each split.
        made: number of new links.
    """

    classes: int
    images: dict[str, int]
    made: int


def read_class_list(path: str | Path) -> list[str]:
    """The classes in a text file: the first word of each non-empty line.

    This reads plain lists and lines such as "n01440764 tench, Tinca tinca".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name cannot be a folder's or occurs twice, or there are fewer than two.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: wanted a text file with one class per line ({error})") from error
    places: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        name = words[0]
        if name.startswith(".") or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(
                f"{path}: wanted a class's folder name first in line {number}, got {name!r}"
            )
        if name in places:
            raise ValueError(
                f"{path}: wanted every class once, got {name} in lines {places[name]} and {number}"
            )
        places[name] = number
    if len(places) < 2:
        raise ValueError(f"{path}: wanted at least 2 classes, one per line, got {len(places)}")
    return list(places)


def link_classes(
    classes: Sequence[str],
    source: str | Path,
    target: str | Path,
    *,
    hard: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> SubsetReport:
    """Link ``target/train/CLASS`` and ``target/val/CLASS`` to the same folders of `source`.

    Everything is checked before the first link is made. Running it again only adds missing links.

    Args:
        classes: names of class folders.
        source: folder with ``train/`` and ``val/``, each with one folder per class.
        target: a new or empty folder, or a subset made by this function.
        hard: make hard links to all files instead of symbolic links to folders, for file systems
            without symbolic links; both must be on one file system.
        progress: called with (split, number) after each class.

    Raises:
        ValueError: `source` lacks classes or has empty ones, or `target` contains anything else.
        OSError: a link cannot be made.
    """
    source, target = Path(source).resolve(), Path(target).resolve()
    images = _check_source(classes, source)
    if target == source or source in target.parents:
        raise ValueError(f"target must lie outside {source}, got {target}")
    _check_target(classes, source, target)
    made = 0
    for split in SPLITS:
        (target / split).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(classes, start=1):
            place = Path(split) / name
            made += (
                _hard_links(source / place, target / place)
                if hard
                else _link(source / place, target / place)
            )
            if progress is not None:
                progress(split, number)
    return SubsetReport(len(classes), images, made)


def _check_source(classes: Sequence[str], source: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for split in SPLITS:
        root = source / split
        if not root.is_dir():
            raise ValueError(f"source must have a folder {split}, got {source} without")
        missing = [name for name in classes if not (root / name).is_dir()]
        if missing:
            loose = ""
            if not any(path.is_dir() for path in root.iterdir()):
                loose = "; sort its images into one folder per class first"
            raise ValueError(
                f"{root} must have a folder for each of the {len(classes)} classes, got "
                f"{len(missing)} missing ({_listed(missing)}){loose}"
            )
        found = {name: len(_image_names(root / name)) for name in classes}
        empty = [name for name, count in found.items() if not count]
        if empty:
            raise ValueError(
                f"{root} must have images of every class, got {len(empty)} empty folders "
                f"({_listed(empty)})"
            )
        counts[split] = sum(found.values())
    return counts


def _check_target(classes: Sequence[str], source: Path, target: Path) -> None:
    """Refuse a target that contains anything other than the links to be made."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"target must be a folder, got a file: {target}")
    if not target.exists():
        return
    wanted = set(classes)
    foreign = [
        path for path in target.iterdir() if path.name not in SPLITS and not is_hidden(path.name)
    ]
    for split in SPLITS:
        root = target / split
        if not root.is_dir():
            continue
        for path in root.iterdir():
            if is_hidden(path.name):
                continue
            origin = source / split / path.name
            same = path.name in wanted and (
                path.resolve() == origin if path.is_symlink() else _is_hard_copy(path, origin)
            )
            if not same:
                foreign.append(path)
    if foreign:
        names = [str(path.relative_to(target)) for path in sorted(foreign)]
        raise ValueError(
            f"target must be new, empty or this very subset, got {target} with {_listed(names)}"
        )


def _is_hard_copy(folder: Path, origin: Path) -> bool:
    return folder.is_dir() and all(
        (origin / path.name).exists() and path.samefile(origin / path.name)
        for path in folder.iterdir()
        if not is_hidden(path.name)
    )


def _link(origin: Path, place: Path) -> int:
    if place.is_symlink() or place.is_dir():  # or a folder of hard links
        return 0
    place.symlink_to(origin, target_is_directory=True)
    return 1


def _hard_links(origin: Path, place: Path) -> int:
    if place.is_symlink():
        return 0
    place.mkdir(exist_ok=True)
    there = set(os.listdir(place))
    fresh = [name for name in _image_names(origin) if name not in there]
    for name in fresh:
        os.link(origin / name, place / name)
    return len(fresh)


def _image_names(folder: Path) -> list[str]:
    return [
        name
        for name in os.listdir(folder)
        if not is_hidden(name) and Path(name).suffix.lower() in SUFFIXES
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
