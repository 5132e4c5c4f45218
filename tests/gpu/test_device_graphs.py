"""CUDA graphs: captured once, replayed with other inputs in the same places."""

from __future__ import annotations

import pytest
import torch
from support.cases import random_image, random_region

from mgnet_fast import glimpse, glimpse_from_logits


@pytest.fixture
def on_cuda(device: str) -> str:
    if device != "cuda":
        pytest.skip("graphs are CUDA's")
    return device


def test_forward_and_backward_replay_with_changed_inputs(on_cuda: str, kernel: str) -> None:
    image = random_image((4, 3, 60, 70), torch.float32).to(on_cuda)
    region = random_region(4).to(on_cuda).requires_grad_()
    grad = random_image((4, 3, 24, 24), torch.float32, seed=2).to(on_cuda)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        samples = glimpse(image, region, 24, backend=kernel)
        (gradient,) = torch.autograd.grad(samples, region, grad)
        return samples, gradient

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        samples, gradient = step()
    for seed in (11, 12):
        image.copy_(random_image((4, 3, 60, 70), torch.float32, seed))
        with torch.no_grad():
            region.copy_(random_region(4, seed=seed))
        graph.replay()
        expected_samples, expected_gradient = step()
        assert torch.equal(samples, expected_samples)
        assert torch.equal(gradient, expected_gradient)


def test_logits_in_a_graph(on_cuda: str, kernel: str) -> None:
    image = random_image((1, 3, 60, 70), torch.uint8).to(on_cuda)
    logits = torch.zeros(1, 3, device=on_cuda)
    glimpse_from_logits(image, logits, 24, backend=kernel)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        samples, region = glimpse_from_logits(image, logits, 24, backend=kernel)
    logits.copy_(torch.tensor([[0.3, -1.0, 2.0]]))
    graph.replay()
    expected = glimpse_from_logits(image, logits, 24, backend=kernel)
    assert torch.equal(samples, expected[0])
    assert torch.equal(region, expected[1])
