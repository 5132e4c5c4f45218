"""The tensors of a request as images for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..data.reading.file_image import FileImage, open_image
from .errors import BAD_REQUEST, TOO_LARGE, RequestError
from .limits import Share
from .protocol.tensors import BYTES, Tensor
from .served_model import FILES, IMAGES, PIXELS, Described, ServedModel

Image = torch.Tensor | FileImage

# Pillow knows many more formats, some of which run other programs; strangers send these files.
_FORMATS = {
    "JPEG": (0, b"\xff\xd8\xff"),
    "PNG": (0, b"\x89PNG\r\n\x1a\n"),
    "WebP": (8, b"WEBP"),
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
}


def the_input(inputs: Sequence[Tensor], model: ServedModel) -> Tensor:
    """The one input of a request, checked by name, datatype and shape.

    Raises:
        RequestError: it is not what the network takes.
    """
    if len(inputs) != 1 or inputs[0].name not in model.inputs:
        wanted_inputs = ", ".join(map(_in_words, model.inputs.values()))
        names = ", ".join(each.name for each in inputs)
        raise RequestError(BAD_REQUEST, f"wanted one of the inputs {wanted_inputs}; got {names}")
    given = inputs[0]
    wanted = model.inputs[given.name]
    fits = len(given.shape) == len(wanted.shape) and all(
        side in (-1, got) for side, got in zip(wanted.shape, given.shape, strict=True)
    )
    if given.datatype != wanted.datatype or not fits or 0 in given.shape:
        raise RequestError(
            BAD_REQUEST,
            f"input must be {_in_words(wanted)} and not empty, got {given.datatype} "
            f"{list(given.shape)}",
        )
    return given


def images_of(given: Tensor, model: ServedModel, most_pixels: int) -> list[torch.Tensor]:
    """The images of the input ``pixels`` or ``images``, [C, H, W] each, in its memory.

    Raises:
        RequestError: they are too large or too small, or hold NaN or infinity.
    """
    assert isinstance(given.values, np.ndarray)
    batch = torch.from_numpy(given.values)
    if given.name == PIXELS:
        batch = batch.permute(0, 3, 1, 2)
    elif not bool(batch.isfinite().all()):
        raise RequestError(BAD_REQUEST, f"input {IMAGES!r} holds NaN or infinity")
    _check_size(batch.shape[-2], batch.shape[-1], model, most_pixels)
    return list(batch.unbind())


def _opened(content: bytes, number: int, model: ServedModel, most_pixels: int) -> FileImage:
    """Open one element of the input ``files``; only its header is read.

    Raises:
        RequestError: it is no image file, or its image is too large or too small.
    """
    if not any(content.startswith(start, place) for place, start in _FORMATS.values()):
        raise RequestError(
            BAD_REQUEST, f"element {number} of input {FILES!r} is none of {', '.join(_FORMATS)}"
        )
    try:
        file = open_image(content, model.channels)
    except ValueError as error:
        raise _unreadable(number, error) from None
    try:
        _check_size(file.height, file.width, model, most_pixels)
    except RequestError:
        file.close()
        raise
    return file


def _decoded(file: FileImage, number: int, model: ServedModel) -> Image:
    """What the engine takes of an open file: its pixels, or the file ready to be looked at.

    Raises:
        RequestError: the file is damaged.
    """
    if model.decodes_as_it_looks:
        file.prepare(*model.first_look())
        if file.error is not None:
            raise _unreadable(number, file.error)
        return file
    try:
        return torch.from_numpy(_writable(file.pixels())).permute(2, 0, 1)
    except ValueError as error:
        raise _unreadable(number, error) from None
    finally:
        file.close()


def _decoded_bytes(file: FileImage) -> int:
    """Bytes of the whole image in memory, an upper bound for one decoded lazily."""
    return file.height * file.width * file.channels


def read_files(given: Tensor, model: ServedModel, most_pixels: int, share: Share) -> list[Image]:
    """Open and decode the input ``files``.

    Raises:
        RequestError: a file is unreadable or too large, or there is no room for its pixels.
    """
    assert given.datatype == BYTES
    images: list[Image] = []
    try:
        for number, content in enumerate(given.values):
            file = _opened(bytes(content), number, model, most_pixels)
            try:
                share.add(num_bytes=_decoded_bytes(file))
            except RequestError:
                file.close()
                raise
            images.append(_decoded(file, number, model))
    except RequestError:
        close(images)
        raise
    return images


def close(images: Sequence[Image]) -> None:
    """Release the files among images that the engine will not take."""
    for each in images:
        if isinstance(each, FileImage):
            each.close()


def _in_words(described: Described) -> str:
    return f"{described.name} {described.datatype} {list(described.shape)}"


def _check_size(height: int, width: int, model: ServedModel, most_pixels: int) -> None:
    if height * width > most_pixels:
        raise RequestError(
            TOO_LARGE,
            f"an image may have {most_pixels:,} pixels, got {height} x {width}",
        )
    if not model.takes(height, width):
        raise RequestError(
            BAD_REQUEST,
            "a glimpse of an image must have sides of at least "
            f"{model.smallest_glimpse} pixels, too many for an image of {height} x {width}",
        )


def _unreadable(number: int, reason: Any) -> RequestError:
    return RequestError(
        BAD_REQUEST, f"element {number} of input {FILES!r} cannot be read as an image: {reason}"
    )


def _writable(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.flags.writeable and min(pixels.strides) > 0 else pixels.copy()
