"""The runners whose backbone runs in OpenVINO or ONNX Runtime, from the network in memory."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.backbone_libraries import require
from support.networks.four_quarters import FourQuarters
from torch import Tensor, nn

from mgnet_fast import (
    Confidence,
    Engine,
    MGNet,
    MGNetConfig,
    Never,
    TNet,
    TNetConfig,
    create_model,
)
from mgnet_fast.engine.libraries import onnxruntime_backbone, openvino_backbone
from mgnet_fast.engine.libraries.library_backbone import LibraryBackbone
from mgnet_fast.engine.libraries.programs_by_size import MOST_SIZES
from mgnet_fast.models.backbones.same_padding import SameConv2d

Engines = Callable[[str, str], Engine]

# Mean difference of a logit from float32, relative to the largest.
BOUNDS = {
    ("openvino", "fp32"): 1e-6,
    ("openvino", "bf16"): 2e-2,
    ("openvino", "int8"): 5e-2,
    ("onnxruntime", "fp32"): 1e-6,
    ("onnxruntime", "int8"): 5e-2,
}


@pytest.mark.parametrize(("runner", "precision"), BOUNDS)
def test_a_backbone_that_no_runner_knows(
    engines: Engines, pictures: Tensor, runner: str, precision: str
) -> None:
    """Its results in every precision, in any company, with NaN, and those of a copy."""
    engine = engines(runner, precision)
    assert (engine.runner, engine.reason) == (runner, "asked for")
    assert engine.deviation is not None
    assert engine.deviation.logit_mean <= BOUNDS[runner, precision]
    if precision != "fp32":
        assert engine.deviation.logit_mean > 1e-6

    odd = pictures.clone()
    odd[7, 0, 20:30, 20:30] = torch.nan
    found = engine.predict(odd)
    assert [n for n, each in enumerate(found) if not each.finite] == [7]

    other = pickle.loads(pickle.dumps(engine))
    for one, again in zip(found, other.predict(odd), strict=True):
        torch.testing.assert_close(one.logits, again.logits, rtol=0, atol=0, equal_nan=True)


def test_results_are_the_eager_runners(
    engines: Engines, foreign: MGNet, pictures: Tensor, runner: str
) -> None:
    """With images of several sizes and dtypes, leaving early, at every number of rows."""
    generator = torch.Generator().manual_seed(2)
    sizes = [(48, 48), (30, 70), (48, 48), (64, 33)]
    mixed = [
        torch.randint(0, 256, (1, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    eager = Engine(foreign, runner="eager", slots=8, exit=Never())
    sure = eager.logits_after_each(pictures).softmax(-1).amax(-1)
    ordered = sure[0].sort().values
    middle = len(ordered) // 2
    rule = Confidence(float(ordered[middle - 1 : middle + 1].mean()))  # rounding must not decide
    eager, engine = eager.with_exit(rule), engines(runner, "fp32").with_exit(rule)
    glimpses = set()
    for images in (pictures, list(pictures), mixed):
        for one, other in zip(engine.predict(images), eager.predict(images), strict=True):
            assert (one.label, one.glimpses) == (other.label, other.glimpses)
            torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(one.regions, other.regions, rtol=0, atol=1e-5)
            glimpses.add(one.glimpses)
    assert len(glimpses) > 1


def test_networks_of_another_family(runner: str) -> None:
    torch.manual_seed(3)
    network = FourQuarters().eval()
    images = torch.randint(0, 256, (7, 1, 40, 37), dtype=torch.uint8)
    with torch.no_grad():
        wanted = network(images)["n_logit"][-1]
    found = Engine(network, runner=runner, slots=3, exit=Never()).predict(images)
    torch.testing.assert_close(
        torch.stack([each.logits for each in found]), wanted, rtol=1e-4, atol=1e-5
    )


class Coarse(nn.Module):
    """A cell of the grid for every 32 pixels."""

    num_features = grid_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 32, 32)

    def with_grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.conv(x)
        return grid, grid.mean((2, 3))


def test_large_glimpses_go_one_by_one(runner: str, restored_threads: None) -> None:
    """Of TNets; the program may then be for one."""
    torch.manual_seed(0)
    config = TNetConfig(num_classes=3, in_chans=1, grid=7, locations=(3,), design="bagnet")
    model = TNet(config, Coarse()).eval()
    images = torch.rand(2, 1, 300, 280)
    with torch.no_grad():
        wanted = model(images)["n_logit"][-1]
    engine = Engine(model, runner=runner, slots=2, exit=Never())
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found = torch.stack([each.logits for each in engine.predict(images)])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        if runner == "openvino":
            program = engine._runner.model.backbone.program._request.get_compiled_model()
            assert program.input().partial_shape.is_static == (threads == 1)


def test_glimpses_of_the_images_own_size(runner: str) -> None:
    """The feed-forward twin takes whole images: one program serves every size."""
    torch.manual_seed(0)
    model = create_model("ffnet_toy").eval()
    engine = Engine(model, runner=runner, slots=2)
    for size in ((112, 112), (40, 61)):
        images = torch.rand(3, 1, *size)
        with torch.no_grad():
            wanted = model(images)["n_logit"][-1]
        found = torch.stack([each.logits for each in engine.predict(images)])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_weights_in_any_layout_and_mode(foreign: MGNet, pictures: Tensor, runner: str) -> None:
    """Strided and expanded weights, training mode, inference mode: the same snapshot."""
    model = copy.deepcopy(foreign)
    convolution = model.backbone.layers[0]
    convolution.weight.data = (
        convolution.weight.data.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    )
    norm = model.backbone.layers[1]
    norm.weight.data = torch.ones(1).expand(8)
    model.train()
    with torch.inference_mode():
        engine = Engine(model, runner=runner, slots=4, exit=Never())
    wanted = Engine(model, runner="eager", slots=4, exit=Never()).predict(pictures)
    with torch.no_grad():
        model.backbone.layers[0].weight.zero_()
    for one, other in zip(engine.predict(pictures), wanted, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-5)
    assert model.training


def test_a_program_is_opened_again_if_the_threads_have_changed(restored_threads: None) -> None:
    asked: list[int] = []

    def open_program(threads: int) -> Any:
        asked.append(threads)
        return lambda x: x.mean((2, 3))

    torch.set_num_threads(1)
    backbone = LibraryBackbone(nn.Flatten(), open_program)
    for threads in (1, 2, 2, 1):
        torch.set_num_threads(threads)
        backbone(torch.zeros(2, 1, 4, 4))
    assert asked == [1, 2, 1]


def test_threads_are_torchs(engines: Engines, runner: str, restored_threads: None) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("OpenVINO takes no more threads than cores, and this process has one")
    backbone = engines(runner, "fp32")._runner.model.backbone
    for threads in (2, 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            backbone(torch.zeros(2, 1, 32, 32))
        if runner == "openvino":
            compiled = backbone.program._request.get_compiled_model()
            assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
        else:
            settings = backbone.program._session.get_session_options()
            assert settings.intra_op_num_threads == threads


def test_openvino_rounds_only_if_it_is_told_to(engines: Engines) -> None:
    """By itself it takes bfloat16 where the processor has it."""
    compiled = engines("openvino", "fp32")._runner.model.backbone.program._request
    hint = compiled.get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
    assert hint.get_type_name() == "f32"


def test_glimpses_are_read_in_place() -> None:
    """By OpenVINO: the request holds torch's own memory."""
    require("openvino")

    class Request:
        def set_input_tensor(self, tensor: Any) -> None:
            self.tensor = tensor

        def infer(self) -> None:
            pass

        def get_output_tensor(self) -> Any:
            return self.tensor

    x = torch.arange(6.0).view(1, 1, 2, 3)
    result = openvino_backbone.Request(Request())(x)
    assert result.data_ptr() == x.data_ptr()


def test_an_empty_batch_has_features(engines: Engines, runner: str) -> None:
    backbone = engines(runner, "fp32")._runner.model.backbone
    with torch.inference_mode():
        assert backbone(torch.zeros(0, 1, 32, 32)).shape == (0, 16)
        assert backbone(torch.zeros(2, 1, 32, 32)).shape == (2, 16)
    assert backbone.num_features == 16  # as of the module that it stands for


@pytest.mark.parametrize("vnni", [False, True])
def test_8_bits_overflow_without_vnni(monkeypatch: pytest.MonkeyPatch, vnni: bool) -> None:
    """So ONNX Runtime's weights use 7 bits there."""
    require("onnxruntime")
    seen = []
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    monkeypatch.setattr(
        onnxruntime_backbone, "quantized_model", lambda *_, few_bits, **__: seen.append(few_bits)
    )
    onnxruntime_backbone.quantized(None, [])
    assert seen == [not vnni]


class _PadsBySize(nn.Module):
    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(SameConv2d(1, 4, 3, 2), nn.ReLU(), SameConv2d(4, 6, 5, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x).mean(dim=(2, 3))
        return out


def test_padding_by_the_size_of_the_image(runner: str) -> None:
    """Each size gets a program of its own; the oldest is given up."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MGNet(
            MGNetConfig(num_classes=3, in_chans=1, num_glimpses=1, glimpse_size=None), _PadsBySize()
        ).eval()
        sizes = [(20 + n, 31 - n) for n in range(MOST_SIZES + 1)]
        images = [torch.randn(1, *size) for size in [*sizes, sizes[0]]]
    engine = Engine(network, runner=runner, slots=1, exit=Never())
    for image in images:
        with torch.no_grad():
            wanted = network(image[None])["n_logit"][-1, 0]
        (found,) = engine.predict(image[None])
        torch.testing.assert_close(found.logits, wanted, rtol=1e-4, atol=1e-5)
