"""The JSON part of requests.

Source: Open Inference Protocol v2 (github.com/kserve/open-inference-protocol), and the binary
tensor data extension as NVIDIA's Triton Inference Server defines it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from ..errors import BAD_REQUEST, RequestError

BINARY_SIZE = "binary_data_size"
BINARY_OUTPUT = "binary_data"
ALL_BINARY = "binary_data_output"
TIMEOUT = "timeout"  # in microseconds


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    parameters: dict[str, Any] = Field(default_factory=dict)


class InputTensor(_Message):
    """An input as the JSON describes it; its data is there or in the binary part."""

    name: str
    datatype: str
    shape: list[NonNegativeInt]
    data: list[Any] | None = None


class OutputTensor(_Message):
    """An output that is asked for."""

    name: str


class InferRequest(_Message):
    """A request without its binary part."""

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[OutputTensor] | None = None


def read_header(header: bytes | bytearray | memoryview) -> InferRequest:
    """The JSON part of a request.

    Raises:
        RequestError: it is not JSON, or not as the protocol has it; all wrong fields are named.
    """
    try:
        return InferRequest.model_validate_json(bytes(header))
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, each['loc'])) or 'the body'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise RequestError(
            BAD_REQUEST, f"the request does not follow the protocol: {'; '.join(wrong)}"
        ) from None
