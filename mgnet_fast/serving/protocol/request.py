"""The body of an inference request as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import BAD_REQUEST, TOO_LARGE, RequestError
from .messages import ALL_BINARY, BINARY_OUTPUT, TIMEOUT, InferRequest, OutputTensor, read_header
from .tensors import BYTES, Tensor, binary_size, read_tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
MOST_JSON = 4 << 20  # bytes; reading them keeps other requests waiting
_REFUSED = ("classification", "shared_memory_region")


class Asked(NamedTuple):
    """A request.

    Attributes:
        id: to be returned; None without one.
        inputs: in their order.
        outputs: names of the outputs, in the order of the response.
        binary: those of them to return as binary data.
        seconds: within which the client wants its answer; None: it does not say.
    """

    id: str | None
    inputs: list[Tensor]
    outputs: tuple[str, ...]
    binary: frozenset[str]
    seconds: float | None


def read_request(
    body: bytearray, header_length: str | None, single_file: str, outputs: Sequence[str]
) -> Asked:
    """Read the body of a request.

    Args:
        body: JSON, followed by binary data if there is a header length.
        header_length: the value of the HTTP header ``HEADER_LENGTH``. "0" means that the whole body
            is the one element of the input ``single_file``, as in Triton's raw binary requests.
        single_file: see there.
        outputs: names of all outputs; they are returned if the request names none.

    Raises:
        RequestError: the request is not as the protocol has it.
    """
    view = memoryview(body)
    length = _header_length(header_length, len(view))
    if header_length is not None and length == 0:
        files = Tensor(single_file, BYTES, (1,), [bytes(view)])
        return Asked(None, [files], tuple(outputs), frozenset(), None)
    if length > MOST_JSON:
        raise RequestError(
            TOO_LARGE,
            f"the JSON part of a request may have {MOST_JSON:,} bytes, got {length:,}; "
            "send tensors as binary data",
        )
    request = read_header(view[:length])
    return Asked(
        request.id,
        _inputs(request, view[length:]),
        *_outputs(request, outputs),
        _seconds(request),
    )


def _header_length(text: str | None, size: int) -> int:
    if text is None:
        return size
    if not text.isdecimal() or int(text) > size:
        raise RequestError(
            BAD_REQUEST,
            f"{HEADER_LENGTH} must be a number of bytes of the body, which has {size}, "
            f"got {text!r}",
        )
    return int(text)


def _inputs(request: InferRequest, binary: memoryview) -> list[Tensor]:
    found, position = [], 0
    for described in request.inputs:
        size = binary_size(described)
        raw = None
        if size is not None:
            raw = binary[position : position + size]
            position += size
            if position > len(binary):
                raise RequestError(
                    BAD_REQUEST,
                    f"input {described.name!r} announces {size} bytes of binary data, and the body "
                    f"has {len(raw)} left",
                )
        found.append(read_tensor(described, raw))
    if position < len(binary):
        raise RequestError(
            BAD_REQUEST, f"{len(binary) - position} bytes of binary data belong to no input"
        )
    return found


def _outputs(request: InferRequest, known: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    asked = request.outputs
    if not asked:
        asked = [OutputTensor(name=name) for name in known]
    for each in asked:
        if each.name not in known:
            raise RequestError(
                BAD_REQUEST, f"there is no output {each.name!r}, only {', '.join(known)}"
            )
        for parameter in _REFUSED:
            if parameter in each.parameters:
                raise RequestError(
                    BAD_REQUEST, f"output {each.name!r}: the extension {parameter} is not supported"
                )
    by_default = bool(request.parameters.get(ALL_BINARY, False))
    names = tuple(each.name for each in asked)
    binary = {each.name for each in asked if each.parameters.get(BINARY_OUTPUT, by_default)}
    return names, frozenset(binary)


def _seconds(request: InferRequest) -> float | None:
    microseconds = request.parameters.get(TIMEOUT)
    if microseconds is None:
        return None
    if not isinstance(microseconds, int) or microseconds < 1:
        raise RequestError(
            BAD_REQUEST,
            f"the parameter {TIMEOUT} must be microseconds, 1 or more, got {microseconds!r}",
        )
    return microseconds / 1e6
