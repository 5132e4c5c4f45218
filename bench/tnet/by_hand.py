"""TNet as one writes it by hand: pad, unfold, gather, resize, in eager PyTorch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast import TNet


def eager_tnet(model: TNet, images: Tensor) -> Tensor:
    """Class logits [B, K] of uint8 images [B, C, H, W], by the modules of ``model``.

    All cells of every image or crop are cut out before the best ones are gathered.
    """
    config = model.config
    mean, std = (
        torch.tensor(each, device=images.device).view(-1, 1, 1)
        for each in (config.mean, config.std)
    )
    crops = images.float().div(255).sub(mean).div(std)[:, None]  # [B, R, C, p, q]
    cell = torch.zeros(len(images), 1, 2, dtype=torch.int64, device=images.device)
    features = []
    for level in range(config.num_glimpses):
        grid, context = _looked_at(model, crops.flatten(0, 1))
        place = torch.cat([cell, torch.full_like(cell[..., :1], level)], dim=2)
        features.append(model.position(context, place.flatten(0, 1)).view(*place.shape[:2], -1))
        if level < len(config.locations):
            scores = model.locate(grid, context)
            best = scores.softmax(1).topk(config.locations[level], dim=1).indices.sort(dim=1).values
            chosen = best.view(*crops.shape[:2], -1)
            crops = _gathered(crops, chosen, config.grid, config.overlap)
            at = torch.stack([chosen // config.grid, chosen % config.grid], dim=-1)
            cell = (cell[:, :, None] * config.grid + at).flatten(1, 2)
    logits: Tensor = model.classifier(torch.cat(features, dim=1))
    return logits


def _looked_at(model: TNet, crops: Tensor) -> tuple[Tensor, Tensor]:
    size = (model.config.base_size, model.config.base_size)
    if crops.shape[-2:] != size:
        crops = F.interpolate(crops, size, mode="bilinear", align_corners=False)
    found: tuple[Tensor, Tensor] = model.backbone.network.with_grid(crops)
    return found


def _gathered(crops: Tensor, chosen: Tensor, grid: int, overlap: float) -> Tensor:
    """The chosen cells [B, R * k, C, p, q] of crops [B, R, C, P, Q]; chosen is [B, R, k]."""
    (high, down, top, bottom), (wide, right, left, behind) = (
        _spaced(side, grid, overlap) for side in crops.shape[-2:]
    )
    padded = F.pad(crops.flatten(0, 1), (left, behind, top, bottom))
    cells = padded.unfold(2, high, down).unfold(3, wide, right)  # [B R, C, n, n, p, q]
    cells = cells.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
    index = chosen.flatten(0, 1)
    picked = cells[torch.arange(len(cells), device=index.device)[:, None], index]
    return picked.view(len(crops), -1, *picked.shape[2:])


def _spaced(side: int, grid: int, overlap: float) -> tuple[int, int, int, int]:
    """Size of a cell, distance of cells, zeros before and behind, all in pixels."""
    size = round(side * overlap)
    apart = math.ceil((side - size) / (grid - 1))
    total = (grid - 1) * apart + size - side
    return size, apart, math.ceil(total / 2), total // 2
