"""A small network to look at, an oracle written from the paper, and a stand-in for its code."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgnet_fast.models import MGNet, create_model

Oracle = Callable[..., dict[str, Tensor]]


@pytest.fixture
def toy() -> MGNet:
    """The toy network in float64 with T = 3 and 17-pixel glimpses, in training mode."""
    torch.manual_seed(0)
    return create_model("mgnet_toy", glimpse_size=(17, 19)).double()


@pytest.fixture
def scenes() -> Tensor:
    """Four float64 images of 37 x 45 pixels."""
    return torch.randn(
        4, 1, 37, 45, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


@pytest.fixture
def oracle() -> Oracle:
    """The network as the paper writes it, on bare tensors of the state dict."""
    return _oracle


@pytest.fixture
def published_module() -> Callable[..., nn.Module]:
    """Makes a live module with the names, attributes and parameters of the published code."""
    return _PublishedModule


@pytest.fixture
def hparams() -> argparse.Namespace:
    """What the published main script makes of its command line for T = 3 on the toy CNN."""
    return argparse.Namespace(
        model="vanilla",
        num_class=10,
        n_iter=3,
        scale=2.0,
        scale_min=0.2,
        scale_max=0.5,
        scale_range=0.5 - 0.2,
        trans_method="tight-crop",
        no_detach=False,
        no_spatial_clue=False,
        alpha=0.6,
        aux=True,
        s=0.02,
        ge=None,
        ge_final=None,
        ssl=False,
        dropout=0.0,
    )


def _oracle(
    weights: dict[str, Tensor],
    backbone: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    size: tuple[int, int],
    steps: int,
    gradient_scale: float,
    aux_from: int | None = 1,
) -> dict[str, Tensor]:
    region = torch.tensor([[1.0, 0.0, 0.0]], dtype=images.dtype).expand(len(images), 3)
    regions, features, logits = [], [], []
    for _ in range(steps):
        regions.append(region)
        features.append(backbone(_sampled(images, region, size)))
        state = _fused(weights, torch.stack(features, 1), torch.stack(regions, 1).detach())
        logits.append(F.linear(state, weights["global_fc.fc.weight"], weights["global_fc.fc.bias"]))
        p = F.linear(state, weights["loc_network.fc.weight"], weights["loc_network.fc.bias"])
        p = 1 / (1 + torch.exp(-p))
        p = p.detach() + gradient_scale * (p - p.detach())
        s = 0.2 + 0.3 * p[:, 0]
        region = torch.stack([s, (2 * p[:, 1] - 1) * (1 - s), (2 * p[:, 2] - 1) * (1 - s)], 1)
    result = {
        "n_logit": torch.stack(logits),
        "n_affparam": torch.stack(regions),
        "n_feature": torch.stack(features),
    }
    if aux_from is not None:
        head = weights["glimpse_fc.fc.weight"], weights["glimpse_fc.fc.bias"]
        result["n_aux_logit"] = torch.stack([F.linear(h, *head) for h in features[aux_from:]])
    return result


def _sampled(images: Tensor, region: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear sampling as two products with matrices of hat functions; zeros outside."""

    def hats(offset: Tensor, steps: int, extent: int) -> Tensor:
        base = torch.linspace(-1, 1, steps, dtype=images.dtype)
        position = (region[:, :1] * base + offset[:, None] + 1) / 2 * (extent - 1)
        pixels = torch.arange(extent, dtype=images.dtype)
        return (1 - (position[:, :, None] - pixels).abs()).clamp(min=0)

    across = hats(region[:, 1], size[1], images.shape[3])
    down = hats(region[:, 2], size[0], images.shape[2])
    return torch.einsum("bih,bchw,bjw->bcij", down, images, across)


def _fused(weights: dict[str, Tensor], features: Tensor, positions: Tensor) -> Tensor:
    tokens = torch.cat([features, positions], dim=2)
    prefix = "feat_fusion.mha."
    q, k, v = F.linear(
        tokens, weights[prefix + "in_proj_weight"], weights[prefix + "in_proj_bias"]
    ).chunk(3, dim=2)
    attention = torch.softmax(q @ k.transpose(1, 2) / tokens.shape[2] ** 0.5, dim=2)
    out = F.linear(
        attention @ v, weights[prefix + "out_proj.weight"], weights[prefix + "out_proj.bias"]
    )
    scale, bias = weights["feat_fusion.norm.weight"], weights["feat_fusion.norm.bias"]
    return F.layer_norm(out, out.shape[-1:], scale, bias, 1e-5)[:, -1].relu()


class _PublishedModule(nn.Module):
    """Only the shell: submodules, names and attributes. It has no forward of its own."""

    def __init__(self, hparams: Any, backbone: nn.Module, dim: int) -> None:
        super().__init__()
        self.hparams = hparams
        self.backbone = backbone
        self.feat_fusion = nn.Module()
        self.feat_fusion.mha = nn.MultiheadAttention(dim + 3, 1)
        self.feat_fusion.norm = nn.LayerNorm(dim + 3)
        for name, shape in (
            ("loc_network", (dim + 3, 3)),
            ("global_fc", (dim + 3, hparams.num_class)),
            ("glimpse_fc", (dim, hparams.num_class)),
        ):
            part = nn.Module()
            part.fc = nn.Linear(*shape)
            if name != "glimpse_fc" or hparams.aux:
                setattr(self, name, part)
