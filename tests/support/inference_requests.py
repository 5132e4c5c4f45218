"""Bodies of requests for inference."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

PATH = "/v2/models/toy/infer"


def request(**fields: Any) -> dict[str, Any]:
    """A request for one black image of 2 x 2 pixels, with some fields replaced."""
    given = {"name": "pixels", "shape": [1, 2, 2, 1], "datatype": "UINT8", "data": [0, 0, 0, 0]}
    return {"inputs": [given | fields.pop("given", {})]} | fields


def binary(size: Any, **given: Any) -> dict[str, Any]:
    described = {"name": "pixels", "shape": [1, 2, 2, 1], "datatype": "UINT8"}
    return {"inputs": [described | {"parameters": {"binary_data_size": size}} | given]}


def file_request(size: int) -> dict[str, Any]:
    return binary(size, name="files", shape=[1], datatype="BYTES")


def png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file, format="png")
    return file.getvalue()


def element(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content
