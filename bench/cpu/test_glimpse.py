"""The public glimpse functions against the usual alternatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench import peers
from bench.conftest import Versus
from bench.cpu.glimpse_cases import CASES, Case
from mgnet_fast import glimpse

CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
FLOAT32_TOLERANCE = 2e-6  # from the float64 reference, image of N(0, 1)
SAME_PICTURE = 1e-3  # mean difference from peers that compute coordinates in float32


def _deviation(samples: Tensor, image: Tensor, region: Tensor, size: int) -> float:
    exact = glimpse(image.double(), region.double(), size, backend="reference")
    return float((samples.double() - exact).abs().max())


@CASE
@pytest.mark.parametrize("peer", ["eager", "torch.compile", "kornia", "OpenCV"])
def test_forward(versus: Versus, threads: int, case: Case, peer: str) -> None:
    image, region, size = case.image(), case.region(), case.size
    samples = glimpse(image, region, size)
    try:
        theirs = peers.forward_call(peer, image, region, size, threads)
    except ImportError as missing:
        pytest.skip(f"the peer is not installed: {missing}")
    if peer != "OpenCV":  # its fixed-point coordinates differ by design
        assert (theirs() - samples).abs().mean() < SAME_PICTURE
    versus(
        lambda: glimpse(image, region, size),
        theirs,
        deviation=_deviation(samples, image, region, size),
        tolerance=FLOAT32_TOLERANCE,
        suite="glimpse", op="forward", case=case.name, dtype="float32", peer=peer,
        target=case.forward if peer == "eager" else None,
    )  # fmt: skip


@CASE
def test_forward_and_backward_to_the_region(versus: Versus, case: Case) -> None:
    if case.backward is None:
        pytest.skip("no floor is set for the backward pass of this shape")
    image, region, size = case.image(), case.region().requires_grad_(), case.size
    grad = torch.randn(case.shape[0], case.shape[1], size, size)

    def ours() -> None:
        region.grad = None
        glimpse(image, region, size).backward(grad)

    def eager() -> None:
        region.grad = None
        peers.eager_from_region(image, region, size).backward(grad)

    samples = glimpse(image, region, size).detach()
    versus(
        ours,
        eager,
        deviation=_deviation(samples, image, region.detach(), size),
        tolerance=FLOAT32_TOLERANCE,
        suite="glimpse", op="forward + backward", case=case.name, dtype="float32",
        peer="eager", target=case.backward,
    )  # fmt: skip


@pytest.mark.parametrize("side", [224, 1024])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_camera_bytes(versus: Versus, side: int, memory_format: torch.memory_format) -> None:
    """uint8 [B, H, W, C] to normalised float glimpses, against the usual pipeline."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    case = Case((8, 3, side, side), 96, "s in .2...5", 0, None)
    pixels = case.image(torch.uint8).permute(0, 2, 3, 1).contiguous()
    image = pixels.permute(0, 3, 1, 2)
    region = case.region()
    theta = peers.theta_of(region)

    def ours() -> Tensor:
        return glimpse(image, region, 96, mean=mean, std=std, memory_format=memory_format)

    exact = glimpse(
        image.double(), region.double(), 96, mean=[255 * each for each in mean],
        std=[255 * each for each in std], backend="reference",
    )  # fmt: skip
    versus(
        ours,
        lambda: peers.eager_from_bytes(pixels, theta, 96, mean, std),
        deviation=float((ours().double() - exact).abs().max()),
        tolerance=FLOAT32_TOLERANCE / min(std),
        suite="glimpse",
        op="forward from bytes",
        case=f"{case.name}, to {str(memory_format).removeprefix('torch.')}",
        dtype="uint8", peer="uint8, float, normalise, permute, sample",
        target=150 if side == 1024 else None,
    )  # fmt: skip
