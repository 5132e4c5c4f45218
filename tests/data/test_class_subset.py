"""A subset of classes by links: what it makes, what it refuses, what running it again does."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.image_trees import write_tree

from mgnet_fast.data import read_image_tree
from mgnet_fast.data.folders.class_subset import link_classes, read_class_list


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "source", train=3, val=1)


@pytest.mark.parametrize("hard", [False, True])
def test_links_are_made_once(source: Path, tmp_path: Path, hard: bool) -> None:
    target = tmp_path / "subset"
    done = []
    report = link_classes(
        ["cat", "ape"], source, target, hard=hard, progress=lambda *step: done.append(step)
    )
    assert done == [("train", 1), ("train", 2), ("val", 1), ("val", 2)]
    assert (report.classes, report.images) == (2, {"train": 6, "val": 2})
    assert report.made == (8 if hard else 4)
    tree = read_image_tree(target, "train")
    assert (tree.classes, len(tree)) == (("ape", "cat"), 6)
    assert tree.path(0).samefile(source / "train" / "ape" / "0.png")
    assert (target / "train" / "ape").is_symlink() != hard

    if hard:
        (target / "val" / "cat" / ".DS_Store").touch()  # left by macOS
    assert link_classes(["cat", "ape"], source, target, hard=hard).made == 0
    lost = target / "val" / "cat" / "0.jpg" if hard else target / "val" / "cat"
    lost.unlink()
    assert link_classes(["cat", "ape"], source, target, hard=hard).made == 1
    assert lost.exists()


def test_what_is_refused_before_anything_is_made(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "subset"
    with pytest.raises(ValueError, match=r"each of the 2 classes, got 1 missing \(yak\)$"):
        link_classes(["ape", "yak"], source, target)
    with pytest.raises(ValueError, match="target must lie outside"):
        link_classes(["ape", "bee"], source, source / "val" / "subset")
    (source / "val" / "bee" / "0.jpg").unlink()
    with pytest.raises(ValueError, match=r"got 1 empty folders \(bee\)"):
        link_classes(["ape", "bee"], source, target)
    assert not target.exists()
    target.mkdir()
    (target / "notes").touch()
    with pytest.raises(ValueError, match=r"new, empty or this very subset, got .* with notes"):
        link_classes(["ape", "cat"], source, target)
    (target / "notes").unlink()
    link_classes(["ape", "cat"], source, target)
    with pytest.raises(ValueError, match=r"with train/cat, val/cat"):
        link_classes(["ape", "ape"], source, target)
    other = write_tree(tmp_path / "other")
    with pytest.raises(ValueError, match=r"with train/ape, train/cat, val/ape, val/cat"):
        link_classes(["ape", "cat"], other, target)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="target must be a folder, got a file"):
        link_classes(["ape", "cat"], source, tmp_path / "file")


def test_validation_images_that_nobody_sorted(source: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    (flat / "val").mkdir(parents=True)
    (flat / "val" / "0.jpg").touch()
    (flat / "train").symlink_to(source / "train")
    with pytest.raises(ValueError, match="sort its images into one folder per class"):
        link_classes(["ape", "bee"], flat, tmp_path / "subset")
    with pytest.raises(ValueError, match="source must have a folder train, got"):
        link_classes(["ape", "bee"], flat / "val", tmp_path / "subset")


def test_class_lists(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("n01 tench, Tinca tinca\n\n  n02\n")
    assert read_class_list(path) == ["n01", "n02"]
    for content, message in (
        ("n01\nn02\nn01\n", "every class once, got n01 in lines 1 and 3"),
        ("n01\n../n02\n", "folder name first in line 2, got '../n02'"),
        ("n01\n", "at least 2 classes, one per line, got 1"),
        (b"\xff\xfe\x00", "wanted a text file with one class per line"),
    ):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ValueError, match=message):
            read_class_list(path)
    with pytest.raises(FileNotFoundError):
        read_class_list(tmp_path / "absent")
