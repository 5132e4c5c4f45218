"""Attention over the positions of a map, and what it adds to a network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.conftest import Versus
from bench.cpu.attention_by_hand import LAYOUTS, PEERS, SHAPES, case_name, goal
from mgnet_fast import create_model
from mgnet_fast.functional import attention_pool


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
        case=case_name(shape, layout),
        dtype="float32",
        peer=peer,
        target=goal(peer, shape[0], with_gradients=with_gradients),
    )


@pytest.mark.parametrize(("batch", "longer"), [(1, 30), (32, 45)])
@torch.inference_mode()
def test_share_of_a_network(versus: Versus, batch: int, longer: int) -> None:
    """How much longer the network with attention takes: "times faster" is the inverse.

    The two share their weights, so neither is favoured by where these lie in memory.
    """
    torch.manual_seed(0)
    attends = create_model("ltpa_vgg").eval().to(memory_format=torch.channels_last)
    plain = create_model("ltpa_vgg", levels=0).eval()
    weights = attends.state_dict()
    shared = {name: value for name, value in weights.items() if "network" in name}
    plain.load_state_dict(shared, strict=False, assign=True)
    images = torch.randn(batch, 3, 32, 32)
    features = attends.backbone.network(images), plain.backbone.network(images)
    versus(
        lambda: attends(images),
        lambda: plain(images),
        deviation=float((features[0] - features[1]).abs().max()),
        tolerance=1e-5,
        longer=longer,
        suite="attention",
        op="network with attention at three levels",
        case=f"ltpa_vgg, batch {batch}, 32 px",
        dtype="float32",
        peer="the same VGG without attention",
        target=1 / 1.03,
    )
