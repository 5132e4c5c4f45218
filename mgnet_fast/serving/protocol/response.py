"""The body of an inference response."""

from __future__ import annotations

import json
from typing import Any

from .messages import BINARY_SIZE
from .request import HEADER_LENGTH, Asked
from .tensors import Tensor, to_bytes, to_json

_JSON = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def write_response(
    model: str, version: str, asked: Asked, tensors: list[Tensor]
) -> tuple[bytes, dict[str, str]]:
    """Body and headers; ``tensors`` are the outputs asked for, in their order.

    Raises:
        ValueError: a number is not finite and has to be written as JSON.
    """
    outputs, binary = [], []
    for name, datatype, shape, values in tensors:
        described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
        if name in asked.binary:
            raw = to_bytes(values)
            described["parameters"] = {BINARY_SIZE: len(raw)}
            binary.append(raw)
        else:
            described["data"] = to_json(values)
        outputs.append(described)
    content: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if asked.id is not None:
        content["id"] = asked.id
    header = _JSON.encode(content).encode()
    if not binary:
        return header, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
    return b"".join((header, *binary)), headers
