"""Residual networks: batch norm folded, and every operation named after its block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.onnx_libraries import require_onnx
from torch import nn

from mgnet_fast.export import ExportOptions, write_onnx
from mgnet_fast.export.graphs.parts import ready_backbone
from mgnet_fast.models import MGNet, MGNetConfig
from mgnet_fast.models.backbones.resnet import ResNet, _Shape


@pytest.fixture(scope="module")
def network() -> MGNet:
    """Four blocks, with the batch norm of a network that has been trained for a while."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = ResNet(_Shape((1, 1, 1, 1), False))
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_()
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        config = MGNetConfig(num_classes=5, num_glimpses=2, glimpse_size=32)
        return MGNet(config, backbone).eval()


def test_batch_norm_is_folded_into_a_copy(network: MGNet) -> None:
    glimpses = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    folded = ready_backbone(network)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in folded.modules())
    assert any(isinstance(each, nn.BatchNorm2d) for each in network.backbone.modules())
    with torch.no_grad():
        expected, found = network.backbone(glimpses), folded(glimpses)
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_int8_finds_all_of_a_block_by_its_name(network: MGNet, tmp_path: Path) -> None:
    """What is quantised is told by names: a ReLU outside would cost a conversion and a bit."""
    require_onnx()
    import onnx

    write_onnx(network, tmp_path / "loop.onnx", ExportOptions(image_size=(48, 64)))
    nodes = onnx.load(tmp_path / "loop.onnx").graph.node
    kinds = [node.op_type for node in nodes]
    assert "BatchNormalization" not in kinds
    blocks = [node for node in nodes if "backbone.layer" in node.name]
    counted = {kind: sum(node.op_type == kind for node in blocks) for kind in ("Relu", "Add")}
    assert counted == {"Relu": 2 * 4 * 2, "Add": 2 * 4}  # glimpses, blocks
    assert {"t1.backbone.layer1.0.conv1", "t2.backbone.layer4.0.downsample.0"} <= {
        node.name for node in nodes
    }
