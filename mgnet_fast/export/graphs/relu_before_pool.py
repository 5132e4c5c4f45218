"""Puts ReLU before max-pooling in an ONNX graph."""

from __future__ import annotations

from collections import Counter
from typing import Any


def relu_before_pool(graph: Any) -> None:
    """Turn ``relu(max_pool(x))`` of an ``onnx.GraphProto`` into ``max_pool(relu(x))``, in place.

    The results are bit-equal, because ReLU is monotone. Pooling first is less work in float32. In 8
    bits the ReLU should directly follow the convolution: then the rounded range starts at 0 instead
    of spending levels on negative values.
    """
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    pools = {node.output[0]: node for node in graph.node if _is_plain_pool(node)}
    moved = set()
    for relu in [node for node in graph.node if node.op_type == "Relu"]:
        between = relu.input[0]
        pool = pools.get(between)
        if pool is None or uses[between] > 1:
            continue
        relu.input[0], pool.output[0] = pool.input[0], relu.output[0]
        relu.output[0] = pool.input[0] = between
        moved.add(between)
        _swap(pool, relu)
    # The stored shapes in between are no longer valid.
    kept = [info for info in graph.value_info if info.name not in moved]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _is_plain_pool(node: Any) -> bool:
    """Whether the indices are unused."""
    return node.op_type == "MaxPool" and len(node.output) == 1


def _swap(first: Any, second: Any) -> None:
    """Swap two nodes in the graph's list, which is in the order of computation."""
    kept = type(first)()
    kept.CopyFrom(first)
    first.CopyFrom(second)
    second.CopyFrom(kept)
