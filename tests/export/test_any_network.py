"""Networks of other families as exported loops: several looks a step, cells chosen in the graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgnet_fast.export import (
    BatchRange,
    ExportOptions,
    SizeRange,
    export_model,
    load_aot,
    load_onnx,
    measure_parity,
    write_aot,
)
from mgnet_fast.export.graphs.plain_looks import PlainLooks
from mgnet_fast.functional import glimpse
from mgnet_fast.models import GlimpseNetwork, create_model
from mgnet_fast.models.ltpa.config import LTPAConfig
from mgnet_fast.models.ltpa.network import LTPA


def tnet(**options: Any) -> GlimpseNetwork:
    torch.manual_seed(0)
    model: GlimpseNetwork = create_model("tnet_toy", **options)
    return model.eval()


@pytest.mark.parametrize(
    "options",
    [
        {"align_corners": True},
        {"align_corners": False},
        {"align_corners": False, "clamp_to_region": True},
        {"align_corners": True, "antialias": True},
        {"align_corners": False, "antialias": True},
    ],
)
def test_looks_in_standard_operators(options: dict[str, bool]) -> None:
    """Against the reference, on regions that shrink, enlarge and leave the image."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 40, 57, generator=generator)
    low = torch.tensor([0.05, 0.05, -0.9, -0.9])
    region = low + torch.rand(2, 5, 4, generator=generator) * torch.tensor([1.1, 1.1, 1.8, 1.8])
    region[0, 0] = torch.tensor([1.0, 1.0, 0.0, 0.0])
    region[1, 4] = torch.tensor([0.01, 0.02, 0.3, 0.1])  # less than a pixel
    wanted = glimpse(
        images.double(), region.double().flatten(0, 1), (12, 9), backend="reference",
        image_index=torch.arange(2).repeat_interleave(5), **options,
    )  # fmt: skip
    found = PlainLooks((12, 9), options)(images, region)
    # float32 coordinates: at N(0, 1) pixels some 1e-7 of 57 pixels
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("antialias", "image_input"), [(False, "float"), (True, "uint8")])
def test_tnets_as_onnx(antialias: bool, image_input: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed ([export])")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed ([export])")
    model = tnet(locations=(3, 2), antialias=antialias)
    sizes = SizeRange((60, 60), (150, 150), (300, 300))
    options = ExportOptions(BatchRange(1, 2, 4), sizes=sizes, input=image_input)
    done = export_model(model, tmp_path, "onnx", options, sample=_sample(image_input))
    assert done.parity.holds, done.parity
    assert done.artefact.name == "loop.onnx"


def _sample(kind: str) -> list[Tensor]:
    """Smooth images of different sizes, in batches of different sizes."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for count, size in ((2, (150, 190)), (1, (60, 201))):
        coarse = torch.rand(count, 1, 8, 8, generator=generator)
        images = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
        if kind == "uint8":
            found.append((images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous())
        else:
            found.append((images - 0.1307) / 0.3081)
    return found


def test_tnets_ahead_of_time(tmp_path: Path) -> None:
    """With the package's own op for the looks."""
    model = tnet(locations=(2,), antialias=False)
    options = ExportOptions(BatchRange(1, 2, 4), image_size=(150, 190))
    done = export_model(model, tmp_path, "aot", options, sample=_sample("float")[:1])
    assert done.parity.holds, done.parity


@pytest.mark.parametrize(
    ("kind", "options", "what"),
    [
        ("onnx", ExportOptions(what="step"), "what = step"),
        ("onnx", ExportOptions(precision="int8"), "precision int8"),
        ("tensorrt", ExportOptions(), "format tensorrt"),
    ],
)
def test_what_only_mgnets_have(
    kind: str, options: ExportOptions, what: str, tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match=f"model must be an MGNet for {what}, got TNet"):
        export_model(tnet(), tmp_path / "out", kind, options)
    assert not (tmp_path / "out").exists()


def test_no_step_for_other_networks(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="model must be an MGNet for what = step, got TNet"):
        write_aot(tnet(), tmp_path / "step.pt2", ExportOptions(what="step"))


def attending(**options: Any) -> GlimpseNetwork:
    torch.manual_seed(0)
    widths = (2, 2, 3, 3, 4, 4)
    model: GlimpseNetwork = create_model("ltpa_vgg_small", widths=widths, **options)
    return model.eval()


def test_attention_over_maps_in_standard_operators(tmp_path: Path) -> None:
    """With the maps as outputs behind the others."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed ([export])")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed ([export])")
    model = attending(head="indep")
    sizes = SizeRange((60, 60), (150, 150), (300, 300))
    options = ExportOptions(BatchRange(1, 2, 4), sizes=sizes, outputs="batch-first")
    done = export_model(model, tmp_path, "onnx", options, sample=_sample("float"))
    assert done.parity.holds, done.parity
    assert done.parity.attention_max is not None
    described = json.loads(done.manifest.read_text())["outputs"]
    assert [each["name"] for each in described[3:]] == [f"attention_{level}" for level in (1, 2, 3)]
    assert [each["shape"][1:] for each in described[3:]] == [[32, 32], [16, 16], [8, 8]]
    found = load_onnx(done.artefact)(_sample("float")[0])
    for weights, each in zip(found[3:], described[3:], strict=True):
        assert list(weights.shape) == [2, *each["shape"][1:]]
    assert all(each.backend is None for each in model.backbone.attention)  # the copy's changed


def test_wrong_attention_is_no_parity() -> None:
    model = attending(levels=1)
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        found = model(images)
    logits, (weights,) = found["n_logit"], found["attention"]
    outputs = (logits, found["n_affparam"], logits[-1].argmax(1), weights.flip(0))
    parity = measure_parity(lambda _: outputs, model, [images])
    assert parity.logit_max == 0
    assert not parity.holds


class OneMap(nn.Module):
    """The smallest network to attend to, since compiling takes long."""

    map_dims, num_features = (3,), 3

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, stride=2)

    def maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        found = self.conv(x).relu()
        return [found], found.mean((2, 3))


def test_attention_ahead_of_time(tmp_path: Path) -> None:
    """With the package's own op for the maps."""
    torch.manual_seed(0)
    config = LTPAConfig(num_classes=10, in_chans=1, levels=1, score="dp")
    model = LTPA(config, OneMap()).eval()
    options = ExportOptions(BatchRange(1, 2, 4), image_size=(15, 19))
    images = torch.randn(3, 1, 15, 19, generator=torch.Generator().manual_seed(1))
    done = export_model(model, tmp_path, "aot", options, sample=[images])
    assert done.parity.holds, done.parity
    assert done.parity.attention_max is not None
    assert load_aot(done.artefact)(images)[3].shape == (3, 7, 9)
