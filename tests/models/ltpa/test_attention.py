"""Attention over a map against the paper's formulas, written out in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast.models import SpatialAttention


def written_out(module: SpatialAttention, local: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Projects the map itself, and scores l + g, as the paper does."""
    vectors = local.flatten(2).transpose(1, 2)  # [B, P, C]
    if module.project == "local":
        vectors = vectors @ module.projection.weight.T
    elif module.project == "global":
        feature = feature @ module.projection.weight.T
    if module.score_by == "pc":
        scores = (vectors + feature[:, None]) @ module.score.weight[0]
    else:
        scores = (vectors * feature[:, None]).sum(2)
    weights = scores.exp() / scores.exp().sum(1, keepdim=True)
    pooled = (vectors * weights[:, :, None]).sum(1)
    return pooled, weights.view(len(local), *local.shape[2:])


@pytest.mark.parametrize("score", ["pc", "dp"])
@pytest.mark.parametrize(
    ("dims", "project"), [((6, 6), None), ((4, 6), "local"), ((4, 6), "global")]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_are_the_papers(
    score: Any, dims: tuple[int, int], project: Any, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = SpatialAttention(*dims, score=score, project=project).double()
    local = torch.randn(3, dims[0], 5, 7, dtype=torch.float64).to(memory_format=layout)
    feature = torch.randn(3, dims[1], dtype=torch.float64)
    inputs = [local.requires_grad_(), feature.requires_grad_(), *module.parameters()]
    seeds = [torch.randn(3, module.dim, dtype=torch.float64), torch.randn(3, 5, 7).double()]
    found = module(local, feature)
    wanted = written_out(module, local, feature)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    ours, theirs = (
        torch.autograd.grad(
            sum((each * seed).sum() for each, seed in zip(outputs, seeds, strict=True)),
            inputs,
            allow_unused=True,
        )
        for outputs in (found, wanted)
    )
    names = ["local", "global", *dict(module.named_parameters())]
    for name, own, exact in zip(names, ours, theirs, strict=True):
        # With "pc" the softmax takes away what g adds, so neither g nor its projection matters.
        own = torch.zeros_like(exact) if own is None else own
        torch.testing.assert_close(own, exact, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"local_dim": 256, "global_dim": 512}, "without a projection, got 256 and 512: give"),
        ({"local_dim": 0, "global_dim": 512}, "local_dim must be an int of at least 1, got 0"),
        ({"local_dim": 4, "global_dim": 4, "score": "sum"}, r"score must be one of .*, got 'sum'"),
        (
            {"local_dim": 4, "global_dim": 4, "project": "both"},
            r"project must be one of .*, got 'both'",
        ),
    ],
)
def test_what_fits_no_way_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpatialAttention(**arguments)


def test_maps_and_features_of_another_width_are_refused() -> None:
    module = SpatialAttention(4, 6, project="local")
    with pytest.raises(ValueError, match=r"local must have shape \[B, 4, h, w\], got \[2, 6, 3, 3"):
        module(torch.rand(2, 6, 3, 3), torch.rand(2, 6))
    with pytest.raises(ValueError, match=r"global_feature must have shape \[2, 6\], got \[1, 6\]"):
        module(torch.rand(2, 4, 3, 3), torch.rand(1, 6))
