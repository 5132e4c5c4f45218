"""The parts of an exported network; their names become those of the graph."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ... import functional
from ...functional import FoldedFusion
from ...models import MGNet
from ...models.backbones.resnet import ResNet
from ...models.mgnet.config import MGNetConfig
from ...models.network import NetworkConfig, check_network
from ..options import ExportOptions
from .filtered_glimpse import FilteredGlimpse, positions

_NORM_OF = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3", "0": "1"}  # "0", "1": a shortcut


def check_exportable(model: object, kind: str, options: ExportOptions) -> None:
    """Checks that a network can be exported in this form.

    Raises:
        TypeError: ``model`` is not a glimpse network, or only MGNets have this form.
    """
    check_network(model)
    if isinstance(model, MGNet):
        return
    for what, has_it in (
        ("what = step", options.what == "step"),
        ("precision int8", options.precision == "int8"),
        (f"format {kind}", kind.startswith("tensorrt")),
    ):
        if has_it:
            raise TypeError(f"model must be an MGNet for {what}, got {type(model).__name__}")


class Normalization(nn.Module):
    """uint8 [B, H, W, C] to float32 [B, C, H, W], normalised by the config's mean and std."""

    scale: Tensor
    bias: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        mean = torch.tensor(config.mean or (0.0,) * config.in_chans, dtype=torch.float64)
        std = torch.tensor(config.std or (1.0,) * config.in_chans, dtype=torch.float64)
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, -1, 1, 1))
        self.register_buffer("bias", (-mean / std).float().view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        # Convert to float first: TensorRT's only operation on bytes is the cast.
        return images.float().permute(0, 3, 1, 2) * self.scale + self.bias


class GridGlimpse(nn.Module):
    r"""A glimpse as one ``GridSample``, which every runtime has.

    The grid of a region (s, x, y) is made by broadcasting,
    :math:`g_{ij} = (x + s u_j, y + s v_i)` with u and v evenly spaced in [-1, 1], always in
    float32. Coordinates are therefore less exact than in the package's own op: on N(0, 1) white
    noise, pixels differ by up to 7e-5 at 224 and 4e-4 at 1024 pixels a side; on smooth
    photographs by far less.
    """

    columns: Tensor
    rows: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", positions(size[0]))
        self.register_buffer("columns", positions(size[1]))

    def forward(self, images: Tensor, region: Tensor) -> Tensor:
        """Glimpses [B, C, h, w] of float32 ``images`` [B, C, H, W] at ``region`` [B, 3]."""
        scale, x, y = region[:, :1], region[:, 1:2], region[:, 2:]
        shape = (images.shape[0], self.rows.shape[0], self.columns.shape[0])
        across = (x + scale * self.columns)[:, None, :].expand(shape)
        down = (y + scale * self.rows)[:, :, None].expand(shape)
        grid = torch.stack([across, down], dim=-1)
        return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=True)


def plain_glimpse(size: tuple[int, int], config: MGNetConfig) -> nn.Module:
    """A glimpse in standard operators."""
    return FilteredGlimpse(size) if config.antialias else GridGlimpse(size)


class OpGlimpse(nn.Module):
    """A glimpse by the package's registered op; bytes are normalised while sampling."""

    def __init__(self, size: tuple[int, int], config: MGNetConfig, takes_bytes: bool) -> None:
        super().__init__()
        self.size = size
        self.antialias = config.antialias
        self.mean = config.mean if takes_bytes else None
        self.std = config.std if takes_bytes else None

    def forward(self, images: Tensor, region: Tensor) -> Tensor:
        """Glimpses [B, C, h, w] of ``images`` [B, C, H, W] of any dtype and strides."""
        return functional.glimpse(
            images,
            region,
            self.size,
            mean=self.mean,
            std=self.std,
            dtype=torch.float32,
            antialias=self.antialias,
        )


class Fusion(nn.Module):
    """The fusion with its weights multiplied out in float64, from all tokens so far.

    See ``mgnet_fast/ops/fusion/fusion_weights.py`` for the algebra.
    """

    key_query: Tensor
    key_bias: Tensor
    out_value: Tensor
    out_bias: Tensor

    def __init__(self, model: MGNet) -> None:
        super().__init__()
        folded = FoldedFusion.of(model.feat_fusion.mha, torch.float64)
        scale = 1 / math.sqrt(folded.key_bias.shape[0])
        self.register_buffer("key_query", (folded.key_query * scale).float())
        self.register_buffer("key_bias", (folded.key_bias * scale).float())
        self.register_buffer("out_value", folded.out_value.float())
        self.register_buffer("out_bias", folded.out_bias.float())
        self.norm = model.feat_fusion.norm

    def forward(self, tokens: list[Tensor]) -> Tensor:
        """The fused state F_t [B, D] of t tokens [B, D], the newest last."""
        mean = tokens[0]
        if len(tokens) > 1:  # the softmax over one glimpse is 1
            known = torch.stack(tokens, dim=1)
            weights = (known @ self._query(tokens[-1])).squeeze(2).softmax(dim=1)
            mean = (weights.unsqueeze(1) @ known).squeeze(1)
        return self._state(mean)

    def _query(self, newest: Tensor) -> Tensor:
        return F.linear(newest, self.key_query, self.key_bias).unsqueeze(2)

    def _state(self, mean: Tensor) -> Tensor:
        return F.relu(self.norm(F.linear(mean, self.out_value, self.out_bias)))


class CachedFusion(Fusion):
    """The same from a cache, of which each row uses as many places as it had earlier glimpses."""

    places: Tensor

    def __init__(self, model: MGNet, steps: int) -> None:
        super().__init__(model)
        self.register_buffer("places", torch.arange(1, steps + 1))

    def forward(self, newest: Tensor, tokens: Tensor, length: Tensor) -> Tensor:  # type: ignore[override]
        """F_t [S, D] of ``newest`` [S, D] and the places 1..length-1 of ``tokens`` [S, T, D]."""
        before = self.places < length.unsqueeze(1)
        # Unused places may hold anything, even NaN, and 0 * NaN is NaN.
        known = tokens.masked_fill(~before.unsqueeze(2), 0.0)
        query = self._query(newest)
        scores = (known @ query).squeeze(2).masked_fill(~before, -math.inf)
        own = (newest.unsqueeze(1) @ query).squeeze(2)
        weights = torch.cat([scores, own], dim=1).softmax(dim=1)
        mean = (weights[:, None, :-1] @ known).squeeze(1) + weights[:, -1:] * newest
        return self._state(mean)


class Localization(nn.Module):
    """The next region [B, 3] from the state F_t [B, D], in float32."""

    def __init__(self, model: MGNet) -> None:
        super().__init__()
        self.fc = model.loc_network.fc
        self.scale_range = model.config.scale_range

    def forward(self, fused: Tensor) -> Tensor:
        low, high = self.scale_range
        probability = torch.sigmoid(self.fc(fused))
        scale = probability[:, :1] * (high - low) + low
        return torch.cat([scale, (2 * probability[:, 1:] - 1) * (1 - scale)], dim=1)


def ready_backbone(model: MGNet, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy of the backbone in ``dtype``, with batch norm folded into a ResNet's convolutions.

    Folding happens once, in float64. The T glimpses of a loop then share one tensor of weights;
    runtimes would fold a copy for every glimpse.
    """
    backbone = copy.deepcopy(model.backbone)
    if isinstance(backbone, ResNet):
        _fold_batch_norm(backbone.double())
    return backbone.to(dtype)


def _fold_batch_norm(backbone: ResNet) -> None:
    for module in list(backbone.modules()):
        for name, norm_name in _NORM_OF.items():
            convolution, norm = getattr(module, name, None), getattr(module, norm_name, None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, norm_name, nn.Identity())
