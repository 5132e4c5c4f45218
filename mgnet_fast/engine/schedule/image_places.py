"""Storage for the images in flight.

A stream whose images all have one size is stored in one tensor; from the first image of another
size on, in an :class:`ImageRing`. An image too large to copy is processed in place, before all
others. A batch is not copied at all.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...ops.images.image_pool import ImagePool
from ...ops.images.image_ring import ImageRing
from ...ops.images.pooled_image import channels_side_by_side, check_image, check_same, dtype_of
from ..runners.file_images import Images

RING_BYTES = 1 << 30  # the largest size to which one image may grow a ring


class Places(Protocol):
    """Images in numbered places."""

    @property
    def images(self) -> Images:
        """What a step samples from; at least one place must hold an image."""

    @property
    def count(self) -> int:
        """Number of places of ``images``."""

    def put(self, image: Tensor | np.ndarray) -> int | Tensor:
        """Store an image: its place, or the image [1, C, H, W] if it has to stay outside."""

    def release(self, place: int) -> None:
        """Free a place."""


class BatchPlaces:
    """The images of a tensor [B, C, H, W], in place: image b has place b."""

    def __init__(self, batch: Tensor) -> None:
        self.images: Tensor = batch
        self.count = batch.shape[0]
        self._next = 0

    def put(self, image: Tensor | np.ndarray) -> int:
        place = self._next
        self._next += 1
        return place

    def release(self, place: int) -> None:
        pass


class StreamPlaces:
    """Copies of up to ``count`` images.

    Args:
        count: number of places.
        channels: of every image.
        device: device of the steps.
        one_size: refuse images of different sizes, for networks whose glimpses have the size of the
            image.
        ring_bytes: see ``RING_BYTES``.
    """

    def __init__(
        self,
        count: int,
        channels: int,
        device: torch.device,
        *,
        one_size: bool = False,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self.count = count
        self.images: Tensor | ImagePool = torch.empty(0)
        self._channels = channels
        self._device = device
        self._one_size = one_size
        self._most_bytes = ring_bytes // count
        self._dtype: torch.dtype | None = None
        self._stack: Tensor | None = None
        self._views: tuple[Tensor, ...] = ()
        self._ring: ImageRing | None = None
        self._ring_pixels = 0
        self._free = list(range(count - 1, -1, -1))  # places of the stack

    def put(self, image: Tensor | np.ndarray) -> int | Tensor:
        """See :class:`Places`.

        Raises:
            TypeError, ValueError: not an image, or of another dtype or number of channels than
                earlier ones.
        """
        if isinstance(image, Tensor) and self._fits_stack(image):
            place = self._free.pop()
            self._views[place].copy_(image)
            return place
        check_image("image", image)
        if self._dtype is None:
            self._dtype = image.dtype if isinstance(image, Tensor) else torch.uint8
        check_same("image", image, self._channels, self._dtype)
        pixels = _as_tensor(image)
        if pixels.numel() * pixels.element_size() > self._most_bytes:
            return pixels.to(self._device).unsqueeze(0)
        if self._ring is None:
            if self._stack is None:
                self._stack = self.images = self._new_stack(pixels)
                self._views = self._stack.unbind()
            if self._stack.shape[1:] == pixels.shape:
                place = self._free.pop()
                self._views[place].copy_(pixels)
                return place
        if self._one_size and self._stack is not None:
            raise ValueError(
                f"image must have the size {list(self._stack.shape[-2:])} of those before, as "
                f"the network has no glimpse_size of its own, got {list(pixels.shape[-2:])}"
            )
        return self._ring_for(pixels).put(pixels)

    def put_all(self, images: Tensor) -> list[int] | None:
        """The places of ``images`` [n, C, H, W], copied together, with n at most the free places;
        None, without a copy, if they are too large for a place.

        All images ever put into these places must have come this way, or be like them.
        """
        if images[0].numel() * images.element_size() > self._most_bytes:
            return None
        if self._stack is None:
            self._dtype = images.dtype
            self._stack = self.images = self._new_stack(images[0])
            self._views = self._stack.unbind()
        places = [self._free.pop() for _ in range(len(images))]
        index = torch.tensor(places, pin_memory=self._device.type == "cuda")
        self._stack.index_copy_(0, index.to(self._device, non_blocking=True), images.detach())
        return places

    def has_stack_for(self, images: Tensor) -> bool:
        """Whether images [n, C, H, W] fit the existing tensor."""
        return bool(self._views) and self._fits_stack(images[0])

    def suits(self, image: Tensor | np.ndarray) -> bool:
        """Whether ``image`` fits the existing memory."""
        try:
            check_image("image", image)
            check_same("image", image, self._channels, self._dtype or dtype_of(image))
        except (TypeError, ValueError):
            return False
        pixels = _as_tensor(image)
        if self._ring is not None:
            return pixels.shape[1] * pixels.shape[2] <= self._ring_pixels
        return self._stack is not None and self._stack.shape[1:] == pixels.shape

    def release(self, place: int) -> None:
        """Free a place, which must hold an image."""
        if self._ring is None:
            self._free.append(place)
        else:
            self._ring.release(place)

    def _fits_stack(self, image: Tensor) -> bool:
        """Whether ``image`` is like those in the stack, so that no other check is needed."""
        if not self._views:
            return False
        like = self._views[0]
        return image.shape == like.shape and image.dtype == like.dtype and not image.requires_grad

    def _new_stack(self, like: Tensor) -> Tensor:
        layout = torch.channels_last if channels_side_by_side(like) else torch.contiguous_format
        with torch.inference_mode(False):
            return torch.empty(
                (self.count, *like.shape),
                dtype=like.dtype,
                device=self._device,
                memory_format=layout,
            )

    def _ring_for(self, pixels: Tensor) -> ImageRing:
        """The ring, replaced by a larger one with the same images and places if necessary."""
        needed = pixels.shape[1] * pixels.shape[2]
        if self._ring is not None and needed <= self._ring_pixels:
            return self._ring
        most = self._most_bytes // (self._channels * pixels.element_size())
        if self._ring is None:
            stack = self._stack if self._stack is not None else pixels.new_empty(0)
            self._ring_pixels = max(needed, stack[0].numel() // self._channels)
            held = [None if n in self._free else stack[n] for n in range(self.count)]
        else:
            self._ring_pixels = max(needed, min(2 * self._ring_pixels, most))
            held = [_held(self._ring, n) for n in range(self.count)]
        ring = ImageRing(
            self.count,
            self._ring_pixels,
            channels=self._channels,
            dtype=pixels.dtype,
            device=self._device,
        )
        # A new ring assigns places in order. Filling the empty places in between keeps the
        # numbers.
        filler = pixels[:, :1, :1]
        for image in held:
            ring.put(filler if image is None else image)
        for place, image in enumerate(held):
            if image is None:
                ring.release(place)
        self._stack, self._views, self._ring, self.images = None, (), ring, ring
        return ring


def _held(ring: ImageRing, place: int) -> Tensor | None:
    try:
        return ring[place]
    except IndexError:
        return None


def _as_tensor(image: Tensor | np.ndarray) -> Tensor:
    """[C, H, W], sharing memory if torch can."""
    if isinstance(image, Tensor):
        return image
    if not image.flags.writeable or min(image.strides) < 0:
        image = image.copy()
    return torch.from_numpy(image).permute(2, 0, 1)
