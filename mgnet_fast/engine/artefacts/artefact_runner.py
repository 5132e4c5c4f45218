"""Runs the steps of a program written by ``mgnet-fast export``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...models import MGNet
from ...ops.images.image_pool import ImagePool
from ..runners.file_images import FileImages, Images, sampled
from ..runners.runner import StepInput

Program = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class ArtefactRunner:
    """See :class:`Runner`. Writes the new tokens itself, so the program need not copy the cache.

    Args:
        program: maps (images, region, tokens, length) to (logits, next region, token).
        description: the manifest of the program.
        model: the exported network.
        device: the device of the program's tensors.

    With sampling outside, the package's op takes the glimpses, from images of any size and dtype.
    Otherwise the program gets the slots' images: one by one if their sizes differ, and normalised
    first if they are bytes and the program takes floats.
    """

    def __init__(
        self, program: Program, description: Mapping[str, Any], model: MGNet, device: torch.device
    ) -> None:
        self.config = model.config
        self.num_classes = model.config.num_classes
        self.device = device
        self._program = program
        self._width: int = model.loc_network.fc.in_features
        self._glimpse_shape: tuple[int, int] = tuple(description["glimpse_shape"])
        self._is_given_glimpses = description["sampling"] == "outside"
        self._takes_bytes = description["input"]["dtype"] == "uint8"
        self._sides = (description["input"]["height"], description["input"]["width"])

    def initial_regions(self, count: int) -> Tensor:
        return torch.eye(1, 3, device=self.device).repeat(count, 1)

    def new_tokens(self, slots: int) -> Tensor:
        shape = (slots, self.config.num_glimpses, self._width)
        return torch.zeros(shape, device=self.device)

    @torch.no_grad()
    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        images, region, tokens, length, image_index = given
        if self._is_given_glimpses:
            seen = self._glimpses(images, region, image_index)
            logits, following, token = self._program(seen, region, tokens, length)
        elif isinstance(images, Tensor):
            chosen = images if image_index is None else images.index_select(0, image_index)
            prepared = self._prepared(chosen)
            logits, following, token = self._program(prepared, region, tokens, length)
        else:
            logits, following, token = self._one_by_one(images, given)
        rows = torch.arange(len(length), device=self.device)
        tokens[rows, length - 1] = token
        return logits, following

    def _glimpses(self, images: Images, region: Tensor, image_index: Tensor | None) -> Tensor:
        is_bytes = images.dtype == torch.uint8
        return sampled(
            images,
            region,
            self._glimpse_shape,
            image_index,
            mean=self.config.mean if is_bytes else None,
            std=self.config.std if is_bytes else None,
            dtype=torch.float32,
            memory_format=torch.contiguous_format,
            antialias=self.config.antialias,
        )

    def _one_by_one(
        self, pool: ImagePool | FileImages, given: StepInput
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, region, tokens, length, image_index = given
        places = range(len(length)) if image_index is None else image_index.tolist()
        found = [
            self._program(
                self._prepared(pool[place].unsqueeze(0)),
                region[row : row + 1],
                tokens[row : row + 1],
                length[row : row + 1],
            )
            for row, place in enumerate(places)
        ]
        logits, following, token = (torch.cat(part) for part in zip(*found, strict=True))
        return logits, following, token

    def _prepared(self, images: Tensor) -> Tensor:
        """``images`` [S, C, H, W] in the form the program takes."""
        self._check_size(images)
        is_bytes = images.dtype == torch.uint8
        if self._takes_bytes:
            if not is_bytes:
                raise TypeError(
                    f"images must be uint8 for this artefact, got {images.dtype}; "
                    "export with --input float, or with --sampling outside, which takes both"
                )
            return images.permute(0, 2, 3, 1).contiguous()
        if not is_bytes:
            return images.float().contiguous()
        images = images / 255
        if self.config.mean is not None:
            images = images - images.new_tensor(self.config.mean).view(-1, 1, 1)
        if self.config.std is not None:
            images = images / images.new_tensor(self.config.std).view(-1, 1, 1)
        return images.contiguous()

    def _check_size(self, images: Tensor) -> None:
        for side, (low, high) in zip(images.shape[-2:], self._sides, strict=True):
            if not low <= side <= high:
                (low_h, high_h), (low_w, high_w) = self._sides
                raise ValueError(
                    f"images must be {low_h} to {high_h} pixels high and {low_w} to {high_w} "
                    f"wide for this artefact, got {list(images.shape[-2:])}"
                )
