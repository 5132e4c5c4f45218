"""What torch asks of a registered op, with tensors of the device."""

from __future__ import annotations

import pytest
import torch
from support.cases import random_image, random_region

from mgnet_fast import glimpse, glimpse_from_logits
from mgnet_fast.ops.glimpse import glimpse_op


def test_opcheck(device: str, kernel: str) -> None:
    image = random_image((2, 3, 20, 22), torch.float32).to(device).requires_grad_()
    region = random_region(2).to(device).requires_grad_()
    torch.library.opcheck(
        glimpse_op, (image, region, None, None, 8, 9, True, "zeros", "float32", False, kernel)
    )


def test_compiles_whole_and_once(device: str, kernel: str) -> None:
    compiles = 0

    def count(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        nonlocal compiles
        compiles += 1
        return graph

    def loss(image: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        samples, region = glimpse_from_logits(image, logits, 12, backend=kernel)
        return samples.sum() + region.sum()

    torch._dynamo.reset()
    function = torch.compile(loss, fullgraph=True, dynamic=True, backend=count)
    for batch in (2, 3, 5, 7):
        image = random_image((batch, 3, 30, 31), torch.float32).to(device)
        logits = random_image((batch, 3), torch.float32, seed=batch).to(device)
        assert torch.equal(function(image, logits), loss(image, logits))
    assert compiles == 1


def test_devices_are_named_in_errors(device: str) -> None:
    if device == "cpu":
        pytest.skip("needs two kinds of device")
    with pytest.raises(ValueError, match="region must be on image's device cuda:0, got cpu"):
        glimpse(torch.zeros(1, 3, 8, 8, device=device), torch.ones(1, 3), 4)


def test_more_than_two_to_the_31_elements(device: str, kernel: str) -> None:
    if device != "cuda" or torch.cuda.mem_get_info()[0] < 12 << 30:
        pytest.skip("needs 12 GB of free device memory")
    image = torch.zeros(1, 1, 50_000, 50_000, dtype=torch.uint8, device=device)
    image[0, 0, -3:, -3:] = 255
    region = torch.tensor([[1e-5, 1.0, 1.0]], device=device)  # the last pixels
    got = glimpse(image, region, 3, padding_mode="border", backend=kernel)
    assert torch.equal(got, torch.ones_like(got))
