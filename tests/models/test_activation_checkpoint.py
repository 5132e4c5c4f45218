"""Activation checkpointing: the same training, bit for bit, and less kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mgnet_fast.models import MGNet, MGNetConfig, create_model


def toy() -> MGNet:
    torch.manual_seed(0)
    return create_model("mgnet_toy").train()


def with_batch_norm_and_dropout() -> MGNet:
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    config = MGNetConfig(num_classes=5, num_glimpses=4, glimpse_size=12)
    return MGNet(config, backbone, dim=8).train()


def trained_once(model: MGNet, images: Tensor) -> dict[str, Tensor]:
    """Gradients, and buffers after the step."""
    torch.manual_seed(1)
    output = model(images)
    (output["n_logit"].square().sum() + output["n_aux_logit"].square().sum()).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | {name: b.clone() for name, b in model.named_buffers()}


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("new", [toy, with_batch_norm_and_dropout])
def test_gradients_and_statistics_are_the_same_bit_for_bit(
    new: Callable[[], MGNet], bf16: bool
) -> None:
    model = new()
    images = torch.randn(6, model.config.in_chans, 40, 40)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        expected = trained_once(new(), images)
        model.checkpoint_glimpses = True
        got = trained_once(model, images)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value), name
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.momentum == 0.1
            assert module.num_batches_tracked == 4


def test_the_backbone_runs_twice_in_training_and_once_else() -> None:
    model = toy()
    runs: list[int] = []
    model.backbone.register_forward_pre_hook(lambda *_: runs.append(1))
    model.checkpoint_glimpses = True
    trained_once(model, torch.randn(2, 1, 40, 40))
    assert len(runs) == 2 * 3
    model.eval()
    model(torch.randn(2, 1, 40, 40))
    model.train()
    with torch.no_grad():
        model(torch.randn(2, 1, 40, 40))
    assert len(runs) == 4 * 3
