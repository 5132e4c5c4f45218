"""Small trees of images with a folder a class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ape", "bee", "cat")


def draw(number: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A smooth picture (width, height), another one for each number."""
    coarse = np.random.Generator(np.random.Philox(key=number)).integers(0, 256, (5, 6, 3))
    return Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def write_tree(root: Path, *, train: int = 8, val: int = 4) -> Path:
    """``train/CLASS/N.png`` and ``val/CLASS/N.jpg`` of three classes, of two sizes."""
    for split, count, suffix in (("train", train, "png"), ("val", val, "jpg")):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                size = (48, 40) if number % 2 else (36, 60)
                picture = draw(1000 * label + number + (500 if split == "val" else 0), size)
                picture.save(folder / f"{number}.{suffix}")
    return root


def write_tiny_imagenet(root: Path) -> Path:
    """Tiny ImageNet's layout with three classes, two training images and one more of each."""
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(reversed(CLASSES)) + "\n")
    lines = []
    for label, name in enumerate(CLASSES):
        folder = root / "train" / name / "images"
        folder.mkdir(parents=True)
        (folder.parent / f"{name}_boxes.txt").write_text("x\t0\t0\t63\t63\n")
        for number in range(2):
            draw(10 * label + number, (64, 64)).save(folder / f"{name}_{number}.JPEG")
        draw(100 + label, (64, 64)).save(root / "val" / "images" / f"val_{label}.JPEG")
        lines.append(f"val_{label}.JPEG\t{name}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def damage(path: Path) -> None:
    """Cuts an image file in its middle."""
    content = path.read_bytes()
    if path.is_symlink() or os.stat(path).st_nlink > 1:
        path.unlink()
    path.write_bytes(content[: len(content) // 2])
