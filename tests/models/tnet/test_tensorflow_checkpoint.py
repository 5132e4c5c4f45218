"""Checkpoints of the published code, written here with TensorFlow as it writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from support.networks.published_tnet import variables

from mgnet_fast.models import create_model, load_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    values = variables(create_model("tnet_bagnet77", num_classes=10).variable_shapes(), 3)
    held = {name: tf.Variable(value) for name, value in values.items()}
    held["global_step"] = tf.Variable(7, dtype=tf.int64)
    optimizer = tf.Module()
    optimizer.learning_rate = tf.Variable(0.1)
    checkpoint = tf.train.Checkpoint(optimizer=optimizer, **held)
    tf.train.CheckpointManager(checkpoint, str(tmp_path), 1, checkpoint_name="ckpt").save()
    return tmp_path


def test_a_folder_is_read(folder: Path) -> None:
    model = create_model("tnet_bagnet77", num_classes=10)
    assert load_checkpoint(folder, model=model) is model
    wanted = create_model("tnet_bagnet77", num_classes=10)
    wanted.load_variables(variables(wanted.variable_shapes(), 3))
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    with pytest.raises(ValueError, match=r"missing: .*stem.* unexpected: .*part6"):
        load_checkpoint(folder, model=create_model("tnet_efficientnet_b0"))
    for file in folder.glob("*.data*"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(folder, model=model)


def test_an_empty_folder(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    with pytest.raises(ValueError, match="must hold a TensorFlow checkpoint, got none"):
        load_checkpoint(tmp_path, model=create_model("tnet_bagnet77"))


def test_a_folder_needs_a_network_and_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="pass a network of that variant as model"):
        load_checkpoint(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="which is not installed: pip install tensorflow"):
        load_checkpoint(tmp_path, model=create_model("tnet_toy"))


def test_names_are_those_that_tensorflow_escapes() -> None:
    from mgnet_fast.models.files.tensorflow_files import _name

    assert _name("a.Sb_1.Sc") == "a/b_1/c"
    assert _name("a..Sb") == "a.Sb"
