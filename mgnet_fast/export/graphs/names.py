"""Short names for the nodes and tensors of an ONNX graph, from the modules they come from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

LONGEST_NAME = 60
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_LOCATES = "localization.fc"  # the next glimpse begins here


def shorten_names(model: Any, name: str, *, by_glimpse: bool) -> None:
    """Rename everything but inputs and outputs, and drop the exporter's notes.

    A node is named after its module and operation, ``backbone.layer1.0.conv1`` or
    ``fusion.softmax``, and with ``by_glimpse`` also after its glimpse:
    ``t2.backbone.layer1.0.conv1``. Its result has the same name. The exporter's notes contain paths
    and source lines of the exporting machine.

    Args:
        model: an ``onnx.ModelProto`` of torch's exporter, without subgraphs; changed in place.
        name: of the graph.
        by_glimpse: whether the graph is an MGNet's whole loop.
    """
    graph = model.graph
    fixed = {each.name for each in (*graph.input, *graph.output)}
    weights = [each.name for each in graph.initializer]
    names = dict(zip(weights, _weight_names(weights), strict=True))
    taken = fixed | set(names.values())
    glimpse = 1
    for node in graph.node:
        scope = _note(node, _SCOPES)
        if by_glimpse and scope == _LOCATES:
            glimpse += 1
        # A torch layer is named by its attribute alone.
        is_layer = _note(node, _CLASSES).startswith("torch.nn.modules.")
        kind = node.op_type.lower()
        base = scope if is_layer else f"{scope}.{kind}" if scope else kind
        node.name = _free(f"t{glimpse}.{base}" if by_glimpse else base, taken)
        taken.add(node.name)
        for place, old in enumerate(node.output):
            if old not in fixed and old:
                names[old] = node.name if place == 0 else f"{node.name}.{place}"
        del node.metadata_props[:]
        node.doc_string = ""
    for node in graph.node:
        _replace(node.input, names)
        _replace(node.output, names)
    for value in (*graph.initializer, *graph.value_info, *graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
    graph.name = name
    graph.doc_string = ""
    del graph.metadata_props[:]


def all_names(model: Any) -> Iterator[str]:
    """The names of all nodes and tensors."""
    for node in model.graph.node:
        yield node.name
        yield from node.output
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        yield value.name


def _note(node: Any, key: str) -> str:
    """The exporter's note about the innermost module that ``node`` comes from."""
    for note in node.metadata_props:
        if note.key == key:
            levels: list[str] = ast.literal_eval(note.value)
            # Names with a leading underscore are torch's, for operations outside any module.
            name = levels[-2] if len(levels) > 1 and not levels[-2].startswith("_") else ""
            return name.removeprefix("loop").removeprefix(".")
    return ""


def _weight_names(names: list[str]) -> Iterator[str]:
    """Parameters keep their path; constants made by the exporter are numbered."""
    made = 0
    for name in names:
        if "." in name and not name.startswith("val"):
            yield name
        else:
            made += 1
            yield f"const.{made}"


def _free(name: str, taken: set[str]) -> str:
    number, wanted = 1, name
    while wanted in taken:
        number += 1
        wanted = f"{name}.{number}"
    return wanted


def _replace(names: Any, new: dict[str, str]) -> None:
    for place, name in enumerate(names):
        names[place] = new.get(name, name)
