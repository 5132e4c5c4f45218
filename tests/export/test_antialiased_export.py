"""Exports of networks that antialias: the graph's matrix products against the package's op."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.onnx_libraries import require_onnx

from mgnet_fast import glimpse
from mgnet_fast.engine import Engine
from mgnet_fast.export import BatchRange, ExportOptions, export_model, load_onnx, measure_parity
from mgnet_fast.export.graphs.filtered_glimpse import FilteredGlimpse
from mgnet_fast.models import create_model


@pytest.mark.parametrize("size", [(28, 28), (5, 40), (1, 1)])
def test_matrices_give_the_glimpse(size: tuple[int, int]) -> None:
    image = torch.randn(5, 2, 61, 90, generator=torch.Generator().manual_seed(0))
    region = torch.tensor(
        [[1.0, 0.0, 0.0], [0.4, 0.1, -0.3], [0.2, 0.9, 0.9], [0.7, -1.5, 0.2], [0.05, 0.0, 0.0]]
    )
    wanted = glimpse(image, region, size, antialias=True)
    torch.testing.assert_close(FilteredGlimpse(size)(image, region), wanted, atol=5e-5, rtol=0)


@pytest.mark.parametrize("what", ["loop", "step"])
def test_onnx(what: str, tmp_path: Path) -> None:
    require_onnx()
    model = create_model("mgnet_toy", pretrained=True, antialias=True).eval()
    options = ExportOptions(BatchRange(1, 2, 4), what=what, input="uint8")
    exported = export_model(model, tmp_path, "onnx", options)
    assert exported.parity.holds, exported.parity
    if what == "loop":
        images = torch.randint(0, 256, (2, 90, 150, 1), dtype=torch.uint8)
        assert measure_parity(load_onnx(exported.artefact), model, [images]).holds


def test_aot(tmp_path: Path) -> None:
    model = create_model("mgnet_toy", pretrained=True, antialias=True).eval()
    exported = export_model(model, tmp_path, "aot", ExportOptions(BatchRange(1, 2, 4)))
    assert exported.parity.holds, exported.parity


def test_a_step_is_not_run_for_a_network_that_looks_otherwise(tmp_path: Path) -> None:
    require_onnx()
    plain = create_model("mgnet_toy", pretrained=True).eval()
    options = ExportOptions(BatchRange(1, 2, 4), what="step", sampling="outside")
    exported = export_model(plain, tmp_path, "onnx", options)
    soft = create_model("mgnet_toy", antialias=True).eval()
    soft.load_state_dict(plain.state_dict(), strict=False)
    with pytest.raises(ValueError, match=r"its config\.antialias is False, the model's is True"):
        Engine(soft, slots=2, runner="onnxruntime", artefact=exported.artefact)
