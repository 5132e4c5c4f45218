"""The files shipped inside the package: digits for the demo and the trained toy checkpoint.

The digits are 500 unmodified images of the MNIST test set (50 of each class) in IDX form; their
origin and licence stand in the NOTICE file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DIGIT_IMAGES = "digits-500-images-idx3-ubyte.gz"
DIGIT_LABELS = "digits-500-labels-idx1-ubyte.gz"
TOY_CHECKPOINT = "mgnet_toy.safetensors"
ANTIALIASED_TOY_CHECKPOINT = "mgnet_toy_antialias.safetensors"


def asset_path(name: str) -> Path:
    """The path of a shipped file.

    Raises:
        FileNotFoundError: the installed package lacks it.
    """
    path = Path(str(files(__name__).joinpath(name)))
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is missing from the installed package ({path.parent}): install it again"
        )
    return path


def digit_paths() -> tuple[Path, Path]:
    """Paths of the 500 shipped digits: images uint8 [500, 28, 28] and labels uint8 [500], IDX."""
    return asset_path(DIGIT_IMAGES), asset_path(DIGIT_LABELS)


def toy_checkpoint_path() -> Path:
    """Path of the checkpoint of ``mgnet_toy`` trained on translated MNIST with T = 3."""
    return asset_path(TOY_CHECKPOINT)


def antialiased_toy_checkpoint_path() -> Path:
    """Path of the same, trained with ``antialias=True``."""
    return asset_path(ANTIALIASED_TOY_CHECKPOINT)
