"""The published names of a TNet's weights, and TensorFlow's layouts of them.

The names are those of github.com/Tpap/TNet; facts only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..backbones.bagnet import BagNet77
from ..backbones.efficientnet import EfficientNet, SqueezeExcite
from ..differences import in_words
from .features import AddedPosition, ClassHead, ConcatenatedPosition
from .locations import ContextLocations, GatedLocations

_BACKBONE = "feature_extraction"


class Parts(NamedTuple):
    """The parts of a TNet that have published weights."""

    network: nn.Module
    position: ConcatenatedPosition | AddedPosition
    locate: ContextLocations | GatedLocations
    classifier: ClassHead
    baseline: Tensor


class Variable(NamedTuple):
    """A published variable.

    Attributes:
        target: the parameter or buffer that holds it.
        order: of the published axes in ``target``; None: as they are.
    """

    target: Tensor
    order: tuple[int, ...] | None

    @property
    def published_shape(self) -> tuple[int, ...]:
        shape = tuple(self.target.shape)
        if self.order is None:
            return shape
        return tuple(shape[self.order.index(axis)] for axis in range(len(shape)))


def published_variables(parts: Parts) -> dict[str, Variable]:
    """The published name of every parameter and buffer.

    Raises:
        TypeError: the backbone is not one of the published kinds.
    """
    return dict(_all(parts))


def load_variables(parts: Parts, values: Mapping[str, Any]) -> None:
    """See :meth:`.network.TNet.load_variables`."""
    wanted = published_variables(parts)
    arrays = {name: np.asarray(value) for name, value in values.items()}
    found = in_words(
        [
            ("missing", [name for name in wanted if name not in arrays]),
            ("unexpected", [name for name in arrays if name not in wanted]),
            (
                "of another shape",
                [
                    f"{name} (want {list(variable.published_shape)}, "
                    f"got {list(arrays[name].shape)})"
                    for name, variable in wanted.items()
                    if name in arrays and arrays[name].shape != variable.published_shape
                ],
            ),
            (
                "not made of real numbers",
                [
                    name
                    for name in wanted
                    if name in arrays and arrays[name].dtype.kind not in "fiu"
                ],
            ),
        ]
    )
    if found:
        raise ValueError(f"variables do not fit the model's configuration: {found}")
    with torch.no_grad():
        for name, variable in wanted.items():
            array = arrays[name]
            if variable.order is not None:
                array = array.transpose(variable.order)
            variable.target.copy_(torch.from_numpy(array.copy()))


def _all(parts: Parts) -> Iterator[tuple[str, Variable]]:
    network, position, locate, classifier, baseline = parts
    if isinstance(network, BagNet77):
        yield from _bagnet(network)
    elif isinstance(network, EfficientNet):
        yield from _efficientnet(network)
    else:
        raise TypeError(
            "published variables exist for BagNet77 and EfficientNet backbones, got "
            f"{type(network).__name__}"
        )
    yield from _linear("feature_posBurn/linear", position.linear)
    weighting = classifier.weighting
    if weighting is not None:
        yield from _linear("feat_weighting/se/dense_1", weighting.reduce)
        yield from _linear("feat_weighting/se/dense_2", weighting.expand)
        yield from _linear("feat_weighting/output_linear", weighting.score)
    if isinstance(locate, ContextLocations):
        place = "location_prediction_earlyLocs"
        yield from _convolution(f"{place}/conv2d", locate.conv)
    else:
        place = "location_prediction"
        yield from _convolution(f"{place}/init/conv2d", locate.conv1)
        yield from _gate(f"{place}/se", locate.gate)
        yield from _convolution(f"{place}/final/conv2d", locate.conv2)
    yield from _linear(f"{place}/height_scaling", locate.mesh.height)
    yield from _linear(f"{place}/width_scaling", locate.mesh.width)
    yield from _convolution(f"{place}/output_linear", locate.score)
    yield from _linear(f"{_BACKBONE}/logits_layer/linear", classifier.fc)
    yield "baseline_var", Variable(baseline, None)


def _bagnet(network: BagNet77) -> Iterator[tuple[str, Variable]]:
    yield from _convolution(f"{_BACKBONE}/part1/conv2d", network.conv1)
    for part, number, block in _blocks(network.stages):
        name = f"{_BACKBONE}/part{part}_block{number}"
        yield from _convolution(f"{name}/comp_1/conv2d", block.conv1)
        yield from _convolution(f"{name}/comp_2/conv2d", block.conv2)
        yield from _convolution(f"{name}/comp_3/conv2d", block.conv3)
        if block.shortcut is not None:
            yield from _convolution(f"{name}/shortcut_comp/conv2d", block.shortcut)
    yield from _convolution(f"{_BACKBONE}/part6/conv2d", network.conv_last)


def _efficientnet(network: EfficientNet) -> Iterator[tuple[str, Variable]]:
    yield from _convolution_and_norm(f"{_BACKBONE}/stem", network.stem)
    for part, number, block in _blocks(network.stages):
        name = f"{_BACKBONE}/part{part}_block{number}"
        if block.expand is not None:
            yield from _convolution_and_norm(f"{name}/expand", block.expand)
        yield from _convolution_and_norm(f"{name}/depthwise", block.depthwise)
        yield from _gate(f"{name}/se", block.gate)
        yield from _convolution_and_norm(f"{name}/bottleneck", block.project)
    yield from _convolution_and_norm(f"{_BACKBONE}/top", network.top)


def _blocks(stages: nn.ModuleList) -> Iterator[tuple[int, int, Any]]:
    """Published numbers of part and block, and the block."""
    for part, stage in enumerate(stages, start=2):
        for number, block in enumerate(stage.children(), start=1):
            yield part, number, block


def _convolution(name: str, layer: nn.Conv2d) -> Iterator[tuple[str, Variable]]:
    if layer.groups > 1:  # published as [height, width, channels, 1]
        yield f"{name}/depthwise_kernel", Variable(layer.weight, (2, 3, 0, 1))
    else:
        yield f"{name}/kernel", Variable(layer.weight, (3, 2, 0, 1))
    if layer.bias is not None:
        yield f"{name}/bias", Variable(layer.bias, None)


def _linear(name: str, layer: nn.Linear) -> Iterator[tuple[str, Variable]]:
    yield f"{name}/kernel", Variable(layer.weight, (1, 0))
    yield f"{name}/bias", Variable(layer.bias, None)


def _gate(name: str, gate: SqueezeExcite) -> Iterator[tuple[str, Variable]]:
    yield from _convolution(f"{name}/conv2d_1", gate.reduce)
    yield from _convolution(f"{name}/conv2d_2", gate.expand)


def _convolution_and_norm(name: str, layer: Any) -> Iterator[tuple[str, Variable]]:
    yield from _convolution(f"{name}/conv2d", layer.conv)
    norm: nn.BatchNorm2d = layer.norm
    yield f"{name}/batch_norm/gamma", Variable(norm.weight, None)
    yield f"{name}/batch_norm/beta", Variable(norm.bias, None)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    yield f"{name}/batch_norm/moving_mean", Variable(norm.running_mean, None)
    yield f"{name}/batch_norm/moving_variance", Variable(norm.running_var, None)
