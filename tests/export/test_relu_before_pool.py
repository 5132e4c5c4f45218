"""ReLU before max pooling: the same bits, in an order that eight bits like better."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mgnet_fast.export.graphs.relu_before_pool import relu_before_pool

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


class PoolThenRelu(nn.Module):
    """Twice what is exchanged; and a pool whose output is used elsewhere, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in (self.first, self.second):
            x = torch.relu(torch.max_pool2d(conv(x), 2))
        pooled = torch.max_pool2d(x - 0.1, 2)
        return torch.relu(pooled) + pooled


def test_same_bits_in_the_other_order(tmp_path) -> None:
    torch.manual_seed(0)
    path, images = tmp_path / "net.onnx", torch.randn(2, 1, 30, 30)
    torch.onnx.export(PoolThenRelu().eval(), (images,), path, dynamo=True, verbose=False)
    proto = onnx.load(path)
    before = _ran(proto, images)
    relu_before_pool(proto.graph)
    onnx.checker.check_model(proto, full_check=True)
    assert (_ran(proto, images) == before).all()

    made_by = {name: node for node in proto.graph.node for name in node.output}
    behind = [made_by[n.input[0]].op_type for n in proto.graph.node if n.op_type == "Relu"]
    assert behind == ["Conv", "Conv", "MaxPool"]


def _ran(proto, images: torch.Tensor):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
