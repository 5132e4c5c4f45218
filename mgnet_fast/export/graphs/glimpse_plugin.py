"""The glimpse as an op that torch_tensorrt can turn into a plugin of its engines.

torch_tensorrt finds the output shape by calling the op on fake float32 tensors whose sides are all
equal, and takes dtype and layout of the result from the first input. So the op takes tensors only,
two of them give the size of a glimpse, and its fake checks nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ... import functional
from ...models import MGNet
from ..options import ExportOptions
from .loop import PlainLoop

PLUGIN_NAME = "mgnet_fast::plugin_glimpse"


@torch.library.custom_op(PLUGIN_NAME, mutates_args=())
def plugin_glimpse(image: Tensor, region: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Glimpses [B, C, h, w] of float ``image`` [B, C, H, W] at ``region`` [B, 3].

    The lengths of ``rows`` [h] and ``columns`` [w] give the size; their values are ignored.
    """
    glimpse = functional.glimpse(image, region, (rows.shape[0], columns.shape[0]))
    return glimpse.contiguous()


@plugin_glimpse.register_fake
def _(image: Tensor, region: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return image.new_empty(image.shape[0], image.shape[1], rows.shape[0], columns.shape[0])


class PluginGlimpse(nn.Module):
    """A glimpse by :func:`plugin_glimpse`."""

    rows: Tensor
    columns: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size[0]))
        self.register_buffer("columns", torch.zeros(size[1]))

    def forward(self, images: Tensor, region: Tensor) -> Tensor:
        result: Tensor = plugin_glimpse(images, region, self.rows, self.columns)
        return result


class PluginLoop(PlainLoop):
    """The loop with :func:`plugin_glimpse`; takes float images."""

    def __init__(self, model: MGNet, options: ExportOptions) -> None:
        if model.antialias:
            raise ValueError("the plugin of torch_tensorrt does not antialias; export to onnx")
        super().__init__(model, options)
        self.glimpse = PluginGlimpse(options.glimpse_shape(model.config))
