"""Which images a folder holds and of which classes: layouts, and what is wrong with a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.image_trees import CLASSES, write_tiny_imagenet, write_tree

from mgnet_fast.data import read_image_tree, told_dataset


def listed(folder: Path, split: str) -> list[tuple[str, str]]:
    tree = read_image_tree(folder, split)
    return [(tree.name(at), tree.classes[tree.labels[at]]) for at in range(len(tree))]


def test_a_folder_a_class(tmp_path: Path) -> None:
    root = write_tree(tmp_path, train=2, val=1)
    (root / "train" / "bee" / "notes.txt").write_text("no image")
    (root / "train" / "bee" / ".1.png").write_text("hidden")
    (root / "train" / "bee" / "more").mkdir()
    (root / "train" / "bee" / "0.png").rename(root / "train" / "bee" / "more" / "0.PNG")
    (root / "train" / ".trash").mkdir()
    assert listed(root, "train") == [
        ("ape/0.png", "ape"),
        ("ape/1.png", "ape"),
        ("bee/1.png", "bee"),
        ("bee/more/0.PNG", "bee"),
        ("cat/0.png", "cat"),
        ("cat/1.png", "cat"),
    ]
    assert read_image_tree(root, "train").path(3).is_file()
    (root / "val").rename(root / "validation")
    assert listed(root, "val") == [(f"{name}/0.jpg", name) for name in CLASSES]


def test_links_to_class_folders(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "there", train=1)
    (tmp_path / "here" / "train").mkdir(parents=True)
    for name in CLASSES:
        (tmp_path / "here" / "train" / name).symlink_to(root / "train" / name)
    assert listed(tmp_path / "here", "train") == listed(root, "train")


def test_tiny_imagenet(tmp_path: Path) -> None:
    root = write_tiny_imagenet(tmp_path)
    train = read_image_tree(root, "train")
    assert train.classes == CLASSES
    assert listed(root, "train")[2] == ("bee/images/bee_0.JPEG", "bee")
    assert listed(root, "val") == [(f"images/val_{at}.JPEG", CLASSES[at]) for at in range(3)]
    (root / "train" / "cat").rename(root / "train" / "dog")
    with pytest.raises(ValueError, match=r"1 missing \(cat\), 1 not wanted \(dog\)"):
        read_image_tree(root, "train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("val_0.JPEG ape", "wanted file, class and box in line 1, got 'val_0.JPEG ape'"),
        ("val_9.JPEG\tape\t0", "line 1 names 'val_9.JPEG', which images/ lacks"),
        ("val_0.JPEG\tyak\t0", r"3 missing \(ape, bee, cat\), 1 not wanted \(yak\)"),
    ],
)
def test_annotations_of_tiny_imagenet_that_are_wrong(
    tmp_path: Path, line: str, message: str
) -> None:
    root = write_tiny_imagenet(tmp_path)
    (root / "val" / "val_annotations.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        read_image_tree(root, "val")


def test_evaluation_needs_no_training_images(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    assert listed(root / "val", "val") == listed(root, "val")


def test_left_out_and_digest(tmp_path: Path) -> None:
    tree = read_image_tree(write_tree(tmp_path, train=2), "train")
    fewer = tree.without(["bee/1.png", "no such"])
    assert [fewer.name(at) for at in range(len(fewer))] == [
        "ape/0.png", "ape/1.png", "bee/0.png", "cat/0.png", "cat/1.png",
    ]  # fmt: skip
    assert np.array_equal(fewer.labels, [0, 0, 1, 2, 2])
    assert tree.without([]).digest() == tree.digest() != fewer.digest()


def test_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data_dir must be a folder of images, got .*, which does not exist"
    ):
        read_image_tree(tmp_path / "absent", "train")
    with pytest.raises(ValueError, match="split must be one of train, val, got 'test'"):
        read_image_tree(tmp_path, "test")
    with pytest.raises(ValueError, match=r"at least 2 folders, one per class, got 0 folders$"):
        read_image_tree(tmp_path, "val")
    root = write_tree(tmp_path / "tree")
    loose = root / "train" / "ape"
    with pytest.raises(ValueError, match="got 0 folders and 8 image files beside them"):
        read_image_tree(loose, "val")
    with pytest.raises(ValueError, match=r"val must have the 2 classes wanted of it, got 3: 2 mis"):
        read_image_tree(root, "val", classes=["ant", "yak"])
    for path in (root / "val" / "bee").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="images of every class, got none in 1 of 3: bee"):
        read_image_tree(root, "val")
    (root / "val").rename(root / "test")
    with pytest.raises(ValueError, match="a folder val or validation with one folder per class"):
        read_image_tree(root, "val")


def test_a_folder_tells_what_it_holds(tmp_path: Path) -> None:
    assert told_dataset(write_tree(tmp_path / "tree")) == "folder"
    (tmp_path / "._train-labels-idx1-ubyte.gz").touch()  # left by macOS
    with pytest.raises(ValueError, match=r"MNIST's four .* or train/ and val/ with one folder"):
        told_dataset(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").touch()
    assert told_dataset(tmp_path) == "translated-mnist"
    with pytest.raises(ValueError, match=r"MNIST's four .* or train/ and val/ with one folder"):
        told_dataset(tmp_path / "tree" / "train")
