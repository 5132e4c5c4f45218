"""Runs that start from a checkpoint's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mgnet_fast.models import create_model
from mgnet_fast.models.files.checkpoints import load_checkpoint, save_checkpoint
from mgnet_fast.training import Recipe, RunSummary, run
from mgnet_fast.training.run.log import read_log
from mgnet_fast.training.run.start_weights import file_fingerprint, load_start_weights

STANDING_STILL = Recipe(epochs=2, batch_size=20, peak_lr=1e-12, weight_decay=0.0)


def start(folder: Path, data: Path, **options: Any) -> RunSummary:
    return run(
        data_dir=data,
        out=folder,
        recipe=STANDING_STILL,
        progress=False,
        tensorboard=False,
        **options,
    )


def checkpoint(path: Path, name: str = "mgnet_toy", **overrides: Any) -> Path:
    torch.manual_seed(5)
    save_checkpoint(create_model(name, **overrides), path)
    return path


def test_a_run_starts_from_the_checkpoint(mnist_folder: Path, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "start.safetensors")
    summary = start(tmp_path / "run", mnist_folder, weights=path)
    began, ended = (load_checkpoint(p).state_dict() for p in (path, summary.checkpoint))
    for name, value in began.items():
        torch.testing.assert_close(ended[name], value, rtol=0, atol=1e-8)
    assert read_log(summary.log)[0]["weights"] == file_fingerprint(path)
    assert str(path) not in summary.log.read_text()


def test_resuming_needs_the_file_no_more_and_refuses_another(
    mnist_folder: Path, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "start.safetensors")
    start(tmp_path / "run", mnist_folder, weights=path)
    other = checkpoint(tmp_path / "other.safetensors", num_classes=7)
    with pytest.raises(ValueError, match=r"weights: [0-9a-f]{16} -> [0-9a-f]{16}"):
        start(tmp_path / "run", mnist_folder, weights=other, resume=True)
    path.unlink()
    start(tmp_path / "run", mnist_folder, resume=True)
    saved = torch.load(tmp_path / "run" / "training.pt", weights_only=False)
    assert "weights" in saved["facts"]


def test_other_classes_get_new_heads_and_nothing_else_is_new(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "seven.safetensors", num_classes=7)
    network = create_model("mgnet_toy")
    first = {name: value.clone() for name, value in network.state_dict().items()}
    done = load_start_weights(path, network)
    assert "new class heads (10 classes, not 7)" in done
    before = load_checkpoint(path).state_dict()
    for name, value in network.state_dict().items():
        is_head = name.startswith(("global_fc.", "glimpse_fc."))
        assert torch.equal(value, first[name] if is_head else before[name]), name


@pytest.mark.parametrize("has", [True, False])
def test_a_glimpse_head_on_one_side_alone(tmp_path: Path, has: bool) -> None:
    path = checkpoint(tmp_path / "start.safetensors", alpha=0.6 if has else 0.0)
    network = create_model("mgnet_toy", alpha=0.0 if has else 0.6)
    load_start_weights(path, network)
    before = load_checkpoint(path).state_dict()
    for name, value in network.state_dict().items():
        assert name.startswith("glimpse_fc.") or torch.equal(value, before[name])


def test_a_network_of_another_family_gives_its_backbone(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "start.safetensors")
    network = create_model("tnet_toy")
    first = network.position.linear.weight.clone()
    assert "from the backbone of" in load_start_weights(path, network)
    wanted = load_checkpoint(path).backbone.state_dict()
    for name, value in network.backbone.network.state_dict().items():
        assert torch.equal(value, wanted[name]), name
    assert torch.equal(network.position.linear.weight, first)
    with pytest.raises(ValueError, match=r"the backbone of checkpoint .* does not fit"):
        load_start_weights(path, create_model("tnet_bagnet77"))


def test_what_cannot_be_started_from_ends_before_the_first_step(
    mnist_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors do not exist"):
        start(tmp_path / "run", mnist_folder, weights=tmp_path / "absent.safetensors")
    resnet = checkpoint(tmp_path / "resnet.safetensors", "mgnet_resnet18", num_classes=10)
    with pytest.raises(ValueError, match="does not fit the model's configuration"):
        start(tmp_path / "run", mnist_folder, weights=resnet)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="damaged"):
        start(tmp_path / "run", mnist_folder, weights=tmp_path / "torn.safetensors")
    assert not (tmp_path / "run").exists()
