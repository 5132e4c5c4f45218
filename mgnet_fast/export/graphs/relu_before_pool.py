"""ReLU before max pooling in an ONNX graph, where a network has them the other way round."""

from __future__ import annotations

from collections import Counter
from typing import Any


def relu_before_pool(graph: Any) -> None:
    """Makes ``relu(max_pool(x))`` of an ``onnx.GraphProto`` ``max_pool(relu(x))``, in place.

    Both are the same numbers, bit for bit, as ReLU is monotone. Pooling first is less work in
    float32. In 8 bits the other order is the better one: a ReLU right behind a convolution lets
    the range of what is rounded begin at 0, instead of spending levels on what becomes 0 anyway.
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
    # The shapes of what lies between are not what they were.
    kept = [info for info in graph.value_info if info.name not in moved]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _is_plain_pool(node: Any) -> bool:
    """Whether nobody asks for the indices, too."""
    return node.op_type == "MaxPool" and len(node.output) == 1


def _swap(first: Any, second: Any) -> None:
    """Exchanges two nodes in a graph's list, which is in the order of computation."""
    kept = type(first)()
    kept.CopyFrom(first)
    first.CopyFrom(second)
    second.CopyFrom(kept)
