"""``config.pbtxt``: the configuration of a model for NVIDIA's Triton Inference Server.

It is written in protobuf's text format, with the fields of ``inference.ModelConfig``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

LABELS_FILE = "labels.txt"
BACKENDS = {"onnx": ("onnxruntime", "model.onnx"), "tensorrt": ("tensorrt", "model.plan")}
INSTANCE_KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}
_TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "uint8": "TYPE_UINT8",
    "int64": "TYPE_INT64",
}


class _Word(str):
    """The name of an enum value, which is written without quotes."""

    __slots__ = ()


class Batching(NamedTuple):
    """How the server batches requests, and how many instances of the model it runs."""

    queue_delay_us: int = 500
    instances: int = 1
    device: str = "auto"


def model_config(name: str, manifest: Mapping[str, Any], batching: Batching) -> str:
    """The configuration of a model exported with the batch first.

    Args:
        name: of the model and its folder.
        manifest: of the artefact.
        batching: requests for one image size wait ``queue_delay_us`` microseconds for others;
            ``instances`` copies run in parallel on ``device``.
    """
    given = manifest["input"]
    outputs = [_tensor(each, {}) for each in manifest["outputs"]]
    outputs[0]["label_filename"] = LABELS_FILE
    fields: dict[str, Any] = {
        "name": name,
        "backend": BACKENDS[manifest["format"]][0],
        "max_batch_size": given["batch"]["max"],
        "input": [_tensor(given, {"height": given["height"], "width": given["width"]})],
        "output": outputs,
        "instance_group": [
            {
                "count": batching.instances,
                "kind": _Word(INSTANCE_KINDS[batching.device]),
            }
        ],
    }
    sizes = sorted({given["batch"]["opt"], given["batch"]["max"]} - {1})
    if sizes:
        fields["dynamic_batching"] = {
            "preferred_batch_size": sizes,
            "max_queue_delay_microseconds": batching.queue_delay_us,
        }
    return "\n".join(_lines(fields)) + "\n"


def _tensor(described: Mapping[str, Any], limits: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        "name": described["name"],
        "data_type": _Word(_TYPES[described["dtype"]]),
        # The first dimension is the batch, which the server adds.
        "dims": [_dimension(each, limits) for each in described["shape"][1:]],
    }


def _dimension(value: int | str, limits: Mapping[str, Sequence[int]]) -> int:
    if isinstance(value, int):
        return value
    low, high = limits[value]
    return low if low == high else -1


def _lines(fields: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield f"{indent}{key} {{"
            yield from _lines(value, indent + "  ")
            yield f"{indent}}}"
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                yield from _lines({key: each}, indent)
        elif isinstance(value, list):
            yield f"{indent}{key}: [ {', '.join(map(str, value))} ]"
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, _Word):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
