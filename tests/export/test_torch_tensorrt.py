"""The loop by torch_tensorrt: versions, what is asked of the compiler, the op for its plugins.

torch_tensorrt is a fake here (``support/fakes/torch_tensorrt.py`` says what that proves).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from support.fakes.torch_tensorrt import fake_torch_tensorrt
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from mgnet_fast import glimpse
from mgnet_fast.export import BatchRange, ExportOptions, SizeRange, measure_parity
from mgnet_fast.export.formats import tensorrt_versions, torch_tensorrt
from mgnet_fast.export.formats.tensorrt_versions import (
    PAIRS,
    check_torch_tensorrt,
    checked_pair,
)
from mgnet_fast.export.graphs.glimpse_plugin import plugin_glimpse
from mgnet_fast.models import create_model

OPTIONS = ExportOptions(BatchRange(1, 2, 8), sizes=SizeRange((28, 28), (112, 112), (224, 224)))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.torch_tensorrt)
def test_versions_that_go_together(pair) -> None:
    assert checked_pair(pair.torch_tensorrt, pair.tensorrt, f"{pair.torch_tensorrt}+cu130") == pair


def test_only_the_oldest_pair_has_no_plugins() -> None:
    assert [pair.plugins for pair in PAIRS] == [False, True, True, True]


@pytest.mark.parametrize(
    ("versions", "error", "said"),
    [
        (("2.10.0", "10.14.1", "2.10.0"), ValueError, "must be one of 2.11.0, .*, got 2.10.0"),
        (("2.13.0", "10.15.1", "2.13.0"), ValueError, r"TensorRT 11.0, got 10.15.1: .*==11.0\.\*'"),
        (("2.12.1", None, "2.12.1"), ImportError, r"needs TensorRT 10.16.1, .* 'tensorrt==10.16"),
        (("2.13.0", "11.0.1", "2.11.0+cu130"), ValueError, r"goes with torch 2.13, got 2.11.0"),
    ],
)
def test_versions_that_do_not_go_together(versions, error, said: str) -> None:
    with pytest.raises(error, match=said):
        checked_pair(*versions)


def test_what_is_missing_is_named_with_its_remedy(monkeypatch) -> None:
    monkeypatch.setattr(tensorrt_versions, "is_installed", lambda name: False)
    with pytest.raises(ImportError, match="torch_tensorrt is not installed: pip install torch_t"):
        check_torch_tensorrt()
    monkeypatch.setattr(tensorrt_versions, "is_installed", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="cannot be imported without a GPU"):
        check_torch_tensorrt()


@pytest.fixture
def library(monkeypatch, tmp_path: Path):
    """The calls made on a fake torch_tensorrt, which has plugins; and the pair to change that."""
    module, calls = fake_torch_tensorrt()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", module)
    monkeypatch.setattr(torch_tensorrt, "check_torch_tensorrt", lambda: PAIRS[1])
    monkeypatch.setattr(torch_tensorrt, "_registered", set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return calls


@pytest.fixture(scope="module")
def toy():
    return create_model("mgnet_toy", pretrained=True).eval()


def compiled_ops(calls) -> list[str]:
    (program,) = [call[1] for call in calls if call[0] == "compile"]
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def test_the_glimpse_is_a_plugin_where_there_are_plugins(toy, library, tmp_path: Path) -> None:
    compiled = torch_tensorrt.compile_torch_tensorrt(toy, OPTIONS, device="cpu")
    assert compiled.has_plugin
    assert library[0] == (
        "custom_op",
        "mgnet_fast::plugin_glimpse",
        {"supports_dynamic_shapes": True},
    )
    assert compiled_ops(library).count("mgnet_fast.plugin_glimpse.default") == 3
    asked = library[1][2]
    (shape,) = asked["arg_inputs"]
    assert (shape.min_shape, shape.opt_shape) == ((1, 1, 28, 28), (2, 1, 112, 112))
    assert (shape.max_shape, shape.dtype) == ((8, 1, 224, 224), torch.float32)
    folder = tmp_path / "mgnet_fast" / "torch_tensorrt-2.12.1"
    assert asked["engine_cache_dir"] == str(folder)
    assert folder.is_dir()
    assert asked["cache_built_engines"]
    assert asked["reuse_cached_engines"]
    assert not asked["immutable_weights"]
    assert measure_parity(compiled, toy, [torch.rand(3, 1, 96, 112)]).holds
    torch_tensorrt._register_plugin(sys.modules["torch_tensorrt"])
    assert [call[0] for call in library].count("custom_op") == 1


def test_the_glimpse_is_gridsample_where_there_are_none(toy, library, monkeypatch) -> None:
    """Bytes are normalised before the compiled program, and CUDA graphs are switched around it."""
    monkeypatch.setattr(torch_tensorrt, "check_torch_tensorrt", lambda: PAIRS[0])
    options = ExportOptions(BatchRange(1, 2, 8), (112, 112), input="uint8")
    with pytest.raises(ValueError, match=r"torch_tensorrt 2.11.0, which has no plugins: 2.12"):
        torch_tensorrt.compile_torch_tensorrt(toy, options, plugin=True, device="cpu")
    compiled = torch_tensorrt.compile_torch_tensorrt(toy, options, device="cpu")
    assert not compiled.has_plugin
    assert [call[0] for call in library] == ["compile"]
    assert "mgnet_fast.plugin_glimpse.default" not in compiled_ops(library)
    images = torch.randint(0, 256, (2, 14, 14, 1), dtype=torch.uint8)
    images = images.repeat_interleave(8, 1).repeat_interleave(8, 2)
    with compiled.cuda_graphs() as graphed:
        assert library[-1] == ("graphs on",)
        assert measure_parity(graphed, toy, [images]).holds
    assert library[-1] == ("graphs off",)


def test_the_backbone_alone_is_in_lower_precision(toy, library) -> None:
    torch_tensorrt.compile_torch_tensorrt(toy, OPTIONS, precision="bf16", device="cpu")
    (program,) = [call[1] for call in library if call[0] == "compile"]
    low = {name for name, each in program.state_dict.items() if each.dtype == torch.bfloat16}
    assert low == {name for name in program.state_dict if name.startswith("backbone.")}
    assert low


def test_precisions_that_cannot_be_are_refused(toy, library, monkeypatch) -> None:
    compile_loop = torch_tensorrt.compile_torch_tensorrt
    with pytest.raises(ValueError, match=r"precision must be one of fp32, .*, got 'fp4'"):
        compile_loop(toy, OPTIONS, precision="fp4", device="cpu")
    with pytest.raises(ValueError, match="calibration must be batches of glimpses"):
        compile_loop(toy, OPTIONS, precision="fp8", device="cpu")
    glimpses = [torch.zeros(1, 1, 28, 28)]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    with pytest.raises(ValueError, match=r"capability 9.0 or newer, got 8.6: take fp16"):
        compile_loop(toy, OPTIONS, precision="fp8", calibration=glimpses, device="cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "modelopt", None)
    with pytest.raises(ImportError, match=r"needs NVIDIA's modelopt .*: pip install nvidia-modelo"):
        compile_loop(toy, OPTIONS, precision="fp8", calibration=glimpses, device="cpu")


def test_the_plugins_op_is_the_glimpse() -> None:
    images, region = torch.rand(2, 3, 30, 40), torch.tensor([[0.4, 0.1, -0.2], [1.0, 0.0, 0.0]])
    arguments = (images, region, torch.zeros(9), torch.zeros(7))
    torch.testing.assert_close(
        plugin_glimpse(*arguments), glimpse(images, region, (9, 7)), rtol=0, atol=0
    )
    torch.library.opcheck(plugin_glimpse, arguments)


def test_the_plugins_shape_is_told_on_sides_of_five() -> None:
    """As the plugin generator asks: float32, every side 5, each with a symbol of its own."""
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import DimDynamic

    environment = ShapeEnv()

    def symbols(name: str, count: int) -> list[torch.SymInt]:
        made = []
        for place in range(count):
            source = ConstantSource(f"{name}{place}")
            symbol = environment.create_symbol(5, source=source, dynamic_dim=DimDynamic.DYNAMIC)
            made.append(environment.create_symintnode(symbol, hint=5, source=source))
        return made

    with FakeTensorMode(shape_env=environment):
        sides = [symbols("image", 4), symbols("region", 2), symbols("rows", 1), symbols("cols", 1)]
        out = torch.ops.mgnet_fast.plugin_glimpse(*(torch.randn(each) for each in sides))
    wanted = [sides[0][0], sides[0][1], sides[2][0], sides[3][0]]
    assert [side.node.expr for side in out.shape] == [side.node.expr for side in wanted]
    assert not environment.guards
