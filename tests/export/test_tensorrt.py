"""Engines of TensorRT: what is asked of the builder, and what is said where it cannot be asked.

TensorRT is a fake here (``support/fakes/tensorrt.py`` says what that proves). TensorRT-RTX is real
where it is installed: its engines are built, and not run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from support.fakes.tensorrt import SHAPE, fake_tensorrt

from mgnet_fast.cli import main
from mgnet_fast.engine.artefacts import tensorrt_library, tensorrt_session
from mgnet_fast.export import (
    BatchRange,
    ExportOptions,
    ShapeRange,
    SizeRange,
    build_engine,
    build_with_trtexec,
    export_model,
)
from mgnet_fast.export.formats import tensorrt
from mgnet_fast.models import create_model

PROFILE = {"images": ShapeRange((1, 1, 2, 2), SHAPE, (8, 1, 8, 8))}


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    path = tmp_path / "loop.onnx"
    path.write_bytes(b"onnx")
    return path


def test_the_builder_is_asked_for_a_strongly_typed_network(onnx_file: Path) -> None:
    library, calls = fake_tensorrt()
    plan = onnx_file.with_name("loop.plan")
    built = build_engine(library, onnx_file, plan, PROFILE)
    assert calls == [
        ("network", 2),
        ("parse", str(onnx_file)),
        ("clear", "TF32"),
        ("profile", {"images": ((1, 1, 2, 2), SHAPE, (8, 1, 8, 8))}),
        ("build",),
    ]
    assert plan.read_bytes() == b"engine:onnx"
    assert built["outputs"] == {"n_logit": ("FLOAT", [-1, 1, -1, -1])}


def test_without_the_flag_every_network_is_strongly_typed(onnx_file: Path) -> None:
    library, calls = fake_tensorrt("11.1.0", strong_flag=False)
    build_engine(library, onnx_file, onnx_file.with_name("loop.plan"), PROFILE)
    assert calls[0] == ("network", 0)


def test_a_timing_cache_is_read_and_written(onnx_file: Path) -> None:
    cache = onnx_file.parent / "cache" / "times"
    for known in (b"", b"+measured"):
        library, calls = fake_tensorrt()
        build_engine(library, onnx_file, onnx_file.with_name("x"), PROFILE, timing_cache=cache)
        assert ("cache", known) in calls
    assert cache.read_bytes() == b"+measured+measured"
    assert [path.name for path in cache.parent.iterdir()] == ["times"]


@pytest.mark.parametrize(
    ("fails", "error", "said"),
    [
        ("parse", ValueError, r"tensorrt 10.16.1 cannot read .*: node 7: no importer for Wobble$"),
        ("build", RuntimeError, "cannot build the engine of .*: out of memory$"),
    ],
)
def test_what_the_builder_complains_of(onnx_file: Path, fails: str, error, said: str) -> None:
    library, _ = fake_tensorrt(fails=fails)
    with pytest.raises(error, match=said):
        build_engine(library, onnx_file, onnx_file.with_name("loop.plan"), PROFILE)
    assert not onnx_file.with_name("loop.plan").exists()


def test_unfit_versions_and_profiles_are_refused(onnx_file: Path) -> None:
    plan = onnx_file.with_name("loop.plan")
    with pytest.raises(ValueError, match=r"tensorrt must be of version 10 or newer, got 8\.6\.1"):
        build_engine(fake_tensorrt("8.6.1")[0], onnx_file, plan, PROFILE)
    with pytest.raises(ValueError, match=r"must name the inputs \['images'\], got \['pictures'\]"):
        build_engine(fake_tensorrt()[0], onnx_file, plan, {"pictures": PROFILE["images"]})
    with pytest.raises(ValueError, match="smallest, usual and largest of one rank"):
        ShapeRange((2, 1), (1, 1), (2, 1))


def write_trtexec(folder: Path, script: str) -> None:
    program = folder / "trtexec"
    program.write_text(f"#!{sys.executable}\nimport pathlib, sys\n{script}")
    program.chmod(0o755)


def test_trtexec_gets_the_same_profile(onnx_file: Path, monkeypatch) -> None:
    folder = onnx_file.parent
    write_trtexec(
        folder,
        "options = dict(each[2:].partition('=')[::2] for each in sys.argv[1:])\n"
        "pathlib.Path(options['saveEngine']).write_text(repr(options))\n",
    )
    monkeypatch.setenv("PATH", str(folder))
    build_with_trtexec(onnx_file, folder / "loop.plan", PROFILE, timing_cache=folder / "times")
    options = eval((folder / "loop.plan").read_text())
    assert options["minShapes"] == "images:1x1x2x2"
    assert options["optShapes"] == "images:2x1x4x4"
    assert options["maxShapes"] == "images:8x1x8x8"
    assert options["onnx"] == str(onnx_file)
    assert options["timingCacheFile"] == str(folder / "times")
    assert {"stronglyTyped", "noTF32"} <= set(options)


def test_trtexec_missing_or_failing(onnx_file: Path, monkeypatch) -> None:
    folder = onnx_file.parent
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(FileNotFoundError, match="trtexec is not on PATH"):
        build_with_trtexec(onnx_file, folder / "loop.plan", PROFILE)
    write_trtexec(folder, "print('no CUDA driver'); sys.exit(3)")
    with pytest.raises(RuntimeError, match=r"trtexec failed \(3\): no CUDA driver"):
        build_with_trtexec(onnx_file, folder / "loop.plan", PROFILE)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch) -> Path:
    stream = type("Stream", (), {"cuda_stream": 77})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    path = tmp_path / "loop.plan"
    path.write_bytes(b"engine")
    return path


def test_a_session_binds_tensors_in_place_on_the_current_stream(plan: Path) -> None:
    library, calls = fake_tensorrt()
    session = tensorrt_session.EngineSession(library, plan, "cpu")
    images = torch.rand(4, 4, 1, 2).permute(3, 2, 0, 1)  # not contiguous
    found = session({"images": images})
    torch.testing.assert_close(found["n_logit"], 2 * images)
    assert [call[0] for call in calls[1:]] == ["shape", "address", "address", "execute"]
    assert calls[1] == ("shape", "images", SHAPE)
    assert calls[-1] == ("execute", 77)


def test_what_a_session_refuses(plan: Path) -> None:
    images = torch.rand(SHAPE)
    session = tensorrt_session.EngineSession(fake_tensorrt()[0], plan, "cpu")
    with pytest.raises(ValueError, match=r"takes \['images'\], got \['pictures'\]"):
        session({"pictures": images})
    with pytest.raises(TypeError, match=r"images must have dtype torch.float32, got torch.float64"):
        session({"images": images.double()})
    with pytest.raises(ValueError, match="images must be on cpu, got meta"):
        session({"images": images.to("meta")})
    session = tensorrt_session.EngineSession(fake_tensorrt(fails="shape")[0], plan, "cpu")
    with pytest.raises(ValueError, match=r"from \[1, 1, 2, 2\] to \[8, 1, 8, 8\]"):
        session({"images": images})
    session = tensorrt_session.EngineSession(fake_tensorrt(fails="execute")[0], plan, "cpu")
    with pytest.raises(RuntimeError, match="the engine failed: it gave no reason"):
        session({"images": images})
    with pytest.raises(ValueError, match="the version tag does not match; build it again"):
        tensorrt_session.EngineSession(fake_tensorrt(fails="deserialize")[0], plan, "cpu")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        tensorrt_session.EngineSession(fake_tensorrt()[0], plan.with_name("other"), "cpu")


def pretend_installed(monkeypatch, *names: str) -> None:
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: name in names)
    monkeypatch.setattr(tensorrt_library, "is_installed", lambda name: name in names)


def test_a_missing_library_or_device_is_named_with_its_remedy(tmp_path: Path, monkeypatch) -> None:
    toy = create_model("mgnet_toy")
    pretend_installed(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match="TensorRT is not installed, nor is trtexec on PATH: pip"):
        export_model(toy, tmp_path / "out", "tensorrt")
    with pytest.raises(ImportError, match="TensorRT-RTX is not installed: pip install"):
        export_model(toy, tmp_path / "out", "tensorrt-rtx")
    pretend_installed(monkeypatch, "tensorrt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"no CUDA device .*: take --format onnx here"):
        export_model(toy, tmp_path / "out", "tensorrt")
    assert not (tmp_path / "out").exists()


def test_a_library_that_cannot_be_loaded_is_no_traceback(monkeypatch) -> None:
    def fail(name: str) -> None:
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    pretend_installed(monkeypatch, "tensorrt")
    monkeypatch.setattr(tensorrt_library.importlib, "import_module", fail)
    with pytest.raises(ImportError, match=r"installed but cannot be loaded \(libnvinfer"):
        tensorrt_library.import_library("tensorrt")


def test_the_profile_follows_the_options() -> None:
    toy = create_model("mgnet_toy")
    sizes = SizeRange((28, 28), (112, 112), (224, 256))
    options = ExportOptions(BatchRange(1, 4, 16), input="uint8", sizes=sizes)
    assert tensorrt.profile_of(toy, options)["images"] == ShapeRange(
        (1, 28, 28, 1), (4, 112, 112, 1), (16, 224, 256, 1)
    )
    fixed = tensorrt.profile_of(toy, ExportOptions(image_size=(112, 120)))["images"]
    assert (fixed.low, fixed.high) == ((1, 1, 112, 120), (64, 1, 112, 120))
    with pytest.raises(ValueError, match="image sizes must be min:opt:max"):
        SizeRange((28, 28), (20, 28), (30, 30))
    with pytest.raises(ValueError, match="give image_size or sizes, not both"):
        ExportOptions(image_size=(28, 28), sizes=sizes)


def run_export(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["export", *words])
    return int(ended.value.code or 0)


def test_an_rtx_engine_is_built_without_a_gpu(tmp_path: Path, capsys) -> None:
    for name in ("tensorrt_rtx", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, on which the engine would be run")
    words = ("--format", "tensorrt-rtx", "--input", "uint8", "--batch", "1:8:16")
    assert run_export(*words, "--image-size", "28:112:224", "-o", str(tmp_path)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "as the ONNX file of loop.rtx.plan against the eager model" in said
    assert "loop.rtx.plan itself was NOT run: there is no CUDA device here" in said
    assert (tmp_path / "loop.rtx.plan").stat().st_size > 100_000
    report = json.loads((tmp_path / "loop.rtx.plan.parity.json").read_text())
    manifest = json.loads((tmp_path / "loop.rtx.plan.manifest.json").read_text())
    assert report["holds"]
    assert report["artefact_was_run"] is manifest["artefact_was_run"] is False
    assert "no CUDA device" in report["not_run"]
    assert manifest["versions"]["tensorrt_rtx"]
    assert manifest["input"]["height"] == [28, 224]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--format", "tensorrt"), 1, "TensorRT is not installed, nor is trtexec on PATH"),
        (("--format", "tensorrt-rtx"), 1, "TensorRT-RTX is not installed: pip install"),
        (("--format", "tensorrt-rtx", "--precision", "int8"), 2, "must be fp32 or fp16 for"),
        (("--image-size", "64:32:16"), 2, "image sizes must be min:opt:max"),
        (("--image-size", "64:32"), 2, "must be HxW or MIN:OPT:MAX"),
        (("--format", "tensorrt-rtx", "--batch", "8:4:1"), 2, "batch must be min:opt:max"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch, capsys, words: tuple[str, ...], code: int, said: str
) -> None:
    pretend_installed(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_export(*words, "-o", str(tmp_path / "out")) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
