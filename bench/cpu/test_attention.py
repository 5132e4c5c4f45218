"""Attention over the positions of a map, and what it adds to a network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.conftest import Versus
from mgnet_fast import create_model
from mgnet_fast.functional import attention_pool

SHAPES = ((32, 512, 16, 16), (32, 256, 32, 32), (1, 512, 16, 16))
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
GOAL = 1.5


def as_written(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
    """The paper's formulas, one PyTorch operation for each."""
    scores = F.conv2d(local + feature[:, :, None, None], u.view(1, -1, 1, 1))
    weights = scores.flatten(2).softmax(2).view_as(scores)
    return (weights * local).sum((2, 3))


def two_products(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
    """The same as two batched products, without what the softmax takes away."""
    vectors = local.flatten(2)
    weights = torch.bmm(u.expand(len(local), 1, -1), vectors).softmax(2)
    return torch.bmm(vectors, weights.transpose(1, 2)).squeeze(2)


PEERS = {"the paper's formulas, eager": as_written, "two batched products, eager": two_products}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pool(
    versus: Versus, shape: tuple[int, ...], layout: str, with_gradients: bool, peer: str
) -> None:
    torch.manual_seed(0)
    local = torch.randn(shape).to(memory_format=LAYOUTS[layout]).requires_grad_(with_gradients)
    feature = torch.randn(shape[:2], requires_grad=with_gradients)
    u = (torch.randn(shape[1]) / shape[1] ** 0.5).requires_grad_(with_gradients)
    incoming = torch.randn(shape[:2])

    def run(pool: object) -> Tensor:
        found: Tensor = pool(local, feature, u)  # type: ignore[operator]
        if not with_gradients:
            return found
        return torch.autograd.grad(found, (local, u), incoming)[0]

    def ours(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
        return attention_pool(local, u)[0]

    theirs = PEERS[peer]
    expected = run(theirs)
    versus(
        lambda: run(ours),
        lambda: run(theirs),
        deviation=float((run(ours) - expected).abs().max() / expected.abs().max()),
        tolerance=1e-5,
        suite="attention",
        op="pool, forward + backward" if with_gradients else "pool",
        case=f"{shape}, {layout}".replace(" ", ""),
        dtype="float32",
        peer=peer,
        target=GOAL if with_gradients and peer.startswith("the paper") and shape[0] > 1 else None,
    )  # fmt: skip


@pytest.mark.parametrize("batch", [1, 32])
@torch.inference_mode()
def test_share_of_a_network(versus: Versus, batch: int) -> None:
    """How much longer the network with attention takes: "times faster" is the inverse."""
    torch.manual_seed(0)
    plain = create_model("ltpa_vgg", levels=0).eval().to(memory_format=torch.channels_last)
    attends = create_model("ltpa_vgg").eval().to(memory_format=torch.channels_last)
    weights = plain.state_dict()
    shared = {name: value for name, value in weights.items() if not name.startswith("classifier")}
    attends.load_state_dict(shared, strict=False)
    images = torch.randn(batch, 3, 32, 32)
    features = attends.backbone.network(images), plain.backbone.network(images)
    versus(
        lambda: attends(images),
        lambda: plain(images),
        deviation=float((features[0] - features[1]).abs().max()),
        tolerance=1e-5,
        suite="attention",
        op="network with attention at three levels",
        case=f"ltpa_vgg, batch {batch}, 32 px",
        dtype="float32",
        peer="the same VGG without attention",
        target=1 / 1.03,
    )
