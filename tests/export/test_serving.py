"""Model repositories: what the server reads, and a file that does what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.model_config_schema import parse_model_config

from mgnet_fast.cli import main
from mgnet_fast.export import (
    Batching,
    BatchRange,
    Exported,
    ExportOptions,
    export_model,
    write_repository,
)
from mgnet_fast.export.serving.model_config import model_config
from mgnet_fast.models import create_model, save_checkpoint

DIGITS = [f"digit {number}" for number in range(10)]


@pytest.fixture(scope="module")
def toy():
    return create_model("mgnet_toy", pretrained=True).eval()


@pytest.fixture(scope="module")
def exported(toy, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed (the extra export)")
    options = ExportOptions(BatchRange(1, 8, 64), input="uint8", outputs="batch-first")
    return export_model(toy, tmp_path_factory.mktemp("served"), "onnx", options)


def parsed(folder: Path):
    pytest.importorskip("google.protobuf", reason="protobuf is not installed")
    return parse_model_config((folder / "config.pbtxt").read_text())


def test_the_configuration_says_what_the_model_takes(exported: Exported, tmp_path: Path) -> None:
    served = write_repository(exported.artefact, tmp_path / "models", "digits", class_names=DIGITS)
    config = parsed(served.folder)
    assert (config.name, config.backend, config.max_batch_size) == ("digits", "onnxruntime", 64)
    (given,) = config.input
    assert (given.name, given.data_type, list(given.dims)) == ("images", 1, [-1, -1, 1])
    described = [(each.name, each.data_type, list(each.dims)) for each in config.output]
    assert described == [("logits", 4, [10]), ("regions", 4, [3, 3]), ("label", 2, [1])]
    assert config.output[0].label_filename == "labels.txt"
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 64]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert [(each.count, each.kind) for each in config.instance_group] == [(1, 0)]
    assert (served.folder / "labels.txt").read_text().splitlines() == DIGITS
    assert served.has_class_names


@pytest.mark.parametrize("count", [1, 3, 64])
def test_the_served_file_agrees_with_the_eager_model(
    toy, exported: Exported, tmp_path: Path, count: int
) -> None:
    import onnxruntime

    served = write_repository(exported.artefact, tmp_path)
    session = onnxruntime.InferenceSession(str(served.folder / "1" / "model.onnx"))
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 7, 9, 1), dtype=torch.uint8, generator=generator)
    images = images.repeat_interleave(16, 1).repeat_interleave(16, 2)
    logits, regions, label = session.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        wanted = toy(images.permute(0, 3, 1, 2))
    largest = float(wanted["n_logit"].abs().max())
    assert logits.shape == (count, 10)
    assert float((torch.from_numpy(logits) - wanted["n_logit"][-1]).abs().max()) <= 1e-3 * largest
    regions_wanted = wanted["n_affparam"].transpose(0, 1)
    assert float((torch.from_numpy(regions) - regions_wanted).abs().max()) <= 1e-4
    assert label.tolist() == wanted["n_logit"][-1].argmax(-1, keepdim=True).tolist()


def fake_artefact(folder: Path, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    artefact = folder / "loop.plan"
    artefact.write_bytes(b"engine")
    outputs = [("logits", [10]), ("regions", [3, 3]), ("label", [1])]
    manifest = {
        "format": "tensorrt",
        "what": "loop",
        "input": {
            "name": "images",
            "dtype": "float32",
            "shape": ["batch", 3, "height", "width"],
            "batch": {"min": 1, "opt": 1, "max": 1},
            "height": [224, 224],
            "width": [96, 320],
        },
        "outputs": [
            {"name": name, "dtype": "float32", "shape": ["batch", *shape]}
            for name, shape in outputs
        ],
        "class_names": None,
        "config": {"num_classes": 10},
    }
    (folder / "loop.plan.manifest.json").write_text(json.dumps(manifest | changes))
    return artefact


def test_an_engine_runs_on_the_gpu_and_fixed_sides_are_numbers(tmp_path: Path) -> None:
    served = write_repository(fake_artefact(tmp_path / "made"), tmp_path / "models")
    config = parsed(served.folder)
    assert config.backend == "tensorrt"
    assert list(config.input[0].dims) == [3, 224, -1]
    assert config.instance_group[0].kind == 1
    assert not config.HasField("dynamic_batching")
    assert (served.folder / "1" / "model.plan").read_bytes() == b"engine"
    assert (served.folder / "labels.txt").read_text().splitlines() == list(map(str, range(10)))
    assert not served.has_class_names


def test_names_are_quoted(tmp_path: Path) -> None:
    pytest.importorskip("google.protobuf", reason="protobuf is not installed")
    manifest = json.loads(fake_artefact(tmp_path).with_name("loop.plan.manifest.json").read_text())
    text = model_config('a"b\\c', manifest, Batching())
    assert parse_model_config(text).name == 'a"b\\c'


def test_a_repository_takes_more_models_but_nothing_else(tmp_path: Path) -> None:
    artefact, models = fake_artefact(tmp_path / "made"), tmp_path / "models"
    write_repository(artefact, models, "one")
    write_repository(artefact, models, "two")
    assert sorted(path.name for path in models.iterdir()) == ["one", "two"]
    with pytest.raises(FileExistsError, match="one exists; remove it"):
        write_repository(artefact, models, "one")
    (models / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"notes.txt has no config.pbtxt; give a new folder"):
        write_repository(artefact, models, "three")
    with pytest.raises(NotADirectoryError, match="is a file"):
        write_repository(artefact, models / "notes.txt", "three")
    assert not (models / "three").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "tensorrt-rtx"}, r"of format tensorrt-rtx: export again with --format onnx"),
        ({"what": "step"}, "is a step: export again with --what loop"),
        ({"outputs": [{"name": "n_logit"}]}, "export again with --outputs batch-first"),
        ({"input": {"batch": {"min": 4}}}, "takes 4 or more: export again with --batch 1:opt:max"),
    ],
)
def test_what_the_server_cannot_run_is_refused(tmp_path: Path, changes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write_repository(fake_artefact(tmp_path / "made", **changes), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    artefact, models = fake_artefact(tmp_path / "made"), tmp_path / "models"
    with pytest.raises(ValueError, match=r"name must be letters, .*, got '\.\./x'"):
        write_repository(artefact, models, "../x")
    with pytest.raises(ValueError, match="one name for each of 10 classes, got 1"):
        write_repository(artefact, models, class_names=["zero"])
    with pytest.raises(ValueError, match="queue_delay_us must be at least 0, got -1"):
        write_repository(artefact, models, batching=Batching(-1))
    with pytest.raises(FileNotFoundError, match=r"artefact .* does not exist"):
        write_repository(artefact.with_name("other.onnx"), models)
    artefact.with_name("loop.plan.manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest .* is damaged"):
        write_repository(artefact, models)
    artefact.with_name("loop.plan.manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no manifest loop.plan.manifest.json"):
        write_repository(artefact, models)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["serve-repo", *words])
    return int(ended.value.code or 0)


def test_the_command_exports_a_checkpoint(toy, exported, tmp_path: Path, capsys) -> None:
    save_checkpoint(toy, tmp_path / "toy.safetensors")
    models, labels = tmp_path / "models", tmp_path / "names"
    labels.write_text("\n".join(DIGITS))
    words = (str(tmp_path / "toy.safetensors"), str(models), "--name", "digits")
    assert run(*words, "--labels", str(labels), "--image-size", "112", "--batch", "1:4:4") == 0
    assert f"wrote {models / 'digits'}" in capsys.readouterr().out
    assert list(parsed(models / "digits").input[0].dims) == [112, 112, 1]
    assert run(*words) == 1
    assert "digits exists" in capsys.readouterr().err


def test_the_command_takes_an_artefact(exported: Exported, tmp_path: Path, capsys) -> None:
    for path in (exported.artefact, exported.manifest):
        shutil.copy(path, tmp_path)
    artefact = tmp_path / exported.artefact.name
    assert run(str(artefact), str(tmp_path / "models"), "--device", "cpu") == 0
    assert "labels.txt holds numbers; give --labels" in capsys.readouterr().out
    assert parsed(tmp_path / "models" / "mgnet").instance_group[0].kind == 2
    assert run(str(tmp_path / "none.onnx"), str(tmp_path / "models")) == 1
    assert "none.onnx does not exist" in capsys.readouterr().err
