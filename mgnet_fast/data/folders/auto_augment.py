"""AutoAugment's ImageNet policy, by torchvision or kornia."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

ADDED_BY = "pip install 'mgnet-fast[augment]' adds it"
CHOICES = ("auto", "torchvision", "kornia", "none")
Augment = Callable[[Image.Image], Image.Image]


def choose_auto_augment(wanted: str = "auto") -> str:
    """The library to use: "torchvision", "kornia" or "none".

    "auto" becomes "none" if neither can be imported. It prefers torchvision, whose policy works on
    Pillow images like the published training, to kornia, which samples magnitudes within a tenth of
    their range. Their results differ, so a run can only be resumed with the same library.

    Raises:
        ValueError: the choice is unknown.
        ImportError: the requested library cannot be imported.
    """
    if wanted not in CHOICES:
        raise ValueError(f"auto_augment must be one of {', '.join(CHOICES)}, got {wanted!r}")
    if wanted == "none":
        return wanted
    reasons = []
    for name in ("torchvision", "kornia") if wanted == "auto" else (wanted,):
        try:
            _BUILDERS[name]()
        except Exception as error:  # torchvision for another torch raises RuntimeError
            first_line = (str(error).splitlines() or [""])[0]
            reasons.append(f"{name}: {type(error).__name__}: {first_line}")
        else:
            return name
    if wanted == "auto":
        return "none"
    raise ImportError(
        f"AutoAugment by {wanted} cannot be imported ({'; '.join(reasons)}): {ADDED_BY}, or "
        "choose auto_augment none"
    )


class AutoAugment:
    """Applies the policy to one image; the result depends only on image and seed.

    Args:
        library: "torchvision", "kornia" or "none", which changes nothing.
    """

    def __init__(self, library: str) -> None:
        self.library = library
        self._augment: Augment | None = None

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        """
        Args:
            image: mode RGB.
            seed: 0 .. 2^63 - 1.

        Returns:
            An RGB image of the same size.
        """
        if self.library == "none":
            return image
        if self._augment is None:  # made in the worker, as not all policies can be pickled
            self._augment = _BUILDERS[self.library]()
        # Both libraries draw from torch's global generator, which training needs unchanged.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self._augment(image)

    def __getstate__(self) -> dict[str, object]:
        return {"library": self.library, "_augment": None}


def _torchvision() -> Augment:
    from torchvision.transforms import AutoAugment as Policy
    from torchvision.transforms import AutoAugmentPolicy

    policy: Augment = Policy(AutoAugmentPolicy.IMAGENET)
    return policy


def _kornia() -> Augment:
    from kornia.augmentation.auto import AutoAugment as Policy

    policy = Policy("imagenet")

    @torch.no_grad()
    def augment(image: Image.Image) -> Image.Image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float().div_(255)
        changed = policy(pixels)[0].mul(255).round_().clamp_(0, 255).to(torch.uint8)
        return Image.fromarray(changed.permute(1, 2, 0).contiguous().numpy())

    return augment


_BUILDERS: dict[str, Callable[[], Augment]] = {"torchvision": _torchvision, "kornia": _kornia}
