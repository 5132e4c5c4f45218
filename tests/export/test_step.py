"""Exported steps: the loop by steps, what the file says of itself, and the names in its graph."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from mgnet_fast.engine import Confidence
from mgnet_fast.engine.artefacts.step_artefact import METADATA_KEY, weights_digest
from mgnet_fast.export import (
    TOLERANCES,
    BatchRange,
    Exported,
    ExportOptions,
    load_onnx,
    loop_of_steps,
    measure_parity,
)
from mgnet_fast.export.graphs.names import LONGEST_NAME, all_names
from mgnet_fast.export.graphs.step import OpStep, PlainStep
from mgnet_fast.export.manifest import build_manifest
from mgnet_fast.models import MGNet

OPTIONS = ExportOptions(what="step")


def test_the_loop_by_exported_steps_is_the_eager_loop(exported_step: Exported) -> None:
    assert exported_step.parity.holds, exported_step.parity
    assert exported_step.parity.images == 64


@pytest.mark.parametrize("shape", [(1, 1, 112, 112), (3, 1, 90, 150), (16, 1, 40, 28)], ids=str)
def test_any_slots_and_size(toy: MGNet, exported_step: Exported, shape) -> None:
    images = (
        torch.linspace(-1, 2, shape[2] * shape[3]).reshape(1, *shape[1:]).repeat(shape[0], 1, 1, 1)
    )
    run = loop_of_steps(load_onnx(exported_step.artefact), toy, OPTIONS)
    assert measure_parity(run, toy, [images]).holds


def test_rows_at_different_glimpses_do_not_mix(toy: MGNet, exported_step: Exported) -> None:
    """Each row gives what it gives alone, whatever stands in the places that it does not use."""
    step = load_onnx(exported_step.artefact)
    images = torch.rand(3, 1, 60, 60)
    region = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.2, -0.4], [0.5, -0.1, 0.1]])
    length = torch.tensor([1, 2, 3])
    tokens = torch.rand(3, 3, 131)
    for row, t in enumerate(length.tolist()):
        tokens[row, t - 1 :] = torch.nan
    together = step(images, region, tokens, length)
    for row in range(3):
        alone = step(*(each[row : row + 1] for each in (images, region, tokens, length)))
        for whole, one in zip(together, alone, strict=True):
            assert torch.isfinite(one).all()
            torch.testing.assert_close(whole[row], one[0], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", [PlainStep, OpStep])
@pytest.mark.parametrize(
    "options",
    [OPTIONS, replace(OPTIONS, input="uint8"), replace(OPTIONS, sampling="outside")],
    ids=["float", "uint8", "outside"],
)
def test_modules_are_the_eager_loop_before_they_are_exported(toy: MGNet, kind, options) -> None:
    images = torch.rand(2, 1, 112, 100)
    if options.input == "uint8":
        images = images.mul(255).to(torch.uint8).permute(0, 2, 3, 1)
    run = loop_of_steps(kind(toy, options).eval(), toy, options)
    parity = measure_parity(run, toy, [images])
    assert parity.holds, parity


def test_names_are_short_and_say_where_a_node_comes_from(exported, exported_step) -> None:
    import onnx

    loop, step = (onnx.load(each.artefact) for each in (exported, exported_step))
    for model in (loop, step):
        names = list(all_names(model))
        assert max(map(len, names)) <= LONGEST_NAME
        assert all(name and name.isascii() and "/" not in name for name in names)
        assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    names = {node.name for node in loop.graph.node}
    assert {"t1.backbone.conv1", "t3.backbone.conv4", "t2.glimpse.gridsample"} <= names
    assert {"backbone.conv1", "fusion.softmax", "classifier.fc"} <= {
        node.name for node in step.graph.node
    }


def test_the_file_alone_says_what_it_is(toy: MGNet, exported_step: Exported) -> None:
    import onnx

    properties = {each.key: each.value for each in onnx.load(exported_step.artefact).metadata_props}
    inside = json.loads(properties[METADATA_KEY])
    beside = json.loads(exported_step.manifest.read_text())
    assert inside == {name: beside[name] for name in inside}
    assert (inside["what"], inside["precision"], inside["exit"]) == ("step", "fp32", None)
    assert (inside["num_glimpses"], inside["num_classes"], inside["token_width"]) == (3, 10, 131)
    assert inside["weights"] == weights_digest(toy)
    assert [each["name"] for each in inside["state"]] == ["region", "tokens", "length"]
    assert inside["outputs"][2] == {"name": "token", "dtype": "float32", "shape": ["batch", 131]}


def test_a_manifest_has_the_exit_rule(toy: MGNet) -> None:
    rule = Confidence(0.8, temperature=1.5)
    manifest = build_manifest(toy, OPTIONS, kind="onnx", class_names=None, exit=rule)
    assert manifest["exit"]["rule"] == "Confidence"
    assert (manifest["exit"]["threshold"], manifest["exit"]["temperature"]) == (0.8, 1.5)


def test_int8_meets_its_tolerances_and_is_int8(exported_int8: Exported) -> None:
    import onnx

    assert exported_int8.parity.holds, exported_int8.parity
    assert exported_int8.parity.tolerances == TOLERANCES["int8"]
    assert exported_int8.artefact.name == "step.int8.onnx"
    model = onnx.load(exported_int8.artefact)
    kinds = {each.name: each.data_type for each in model.graph.initializer}
    weights = [name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8]
    for number in range(1, 5):
        assert any(f"backbone.conv{number}.weight" in name for name in weights)
    assert not any("fusion" in name or "localization" in name for name in weights)
    for name in weights:
        if name.endswith("weight_quantized"):
            tensor = next(each for each in model.graph.initializer if each.name == name)
            # 7 bits, which processors without VNNI add up without overflow
            assert abs(onnx.numpy_helper.to_array(tensor).astype(int)).max() <= 64


def test_sampling_outside_is_of_steps_that_take_floats() -> None:
    with pytest.raises(ValueError, match="sampling outside needs what = step and input = float"):
        ExportOptions(sampling="outside")
    with pytest.raises(ValueError, match="sampling outside needs what = step and input = float"):
        ExportOptions(what="step", sampling="outside", input="uint8")
    with pytest.raises(ValueError, match="precision must be one of fp32, fp16, int8, got 'fp8'"):
        ExportOptions(precision="fp8")  # type: ignore[arg-type]
    assert ExportOptions(BatchRange(1, 1, 1), what="step", sampling="outside").stem == "step"
