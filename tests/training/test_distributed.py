"""Two processes under torchrun give the weights of one process with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mgnet_fast.models.checkpoints import load_checkpoint
from mgnet_fast.training import Recipe, run
from mgnet_fast.training.distributed import Workers, device_for, joined_workers
from mgnet_fast.training.run_log import read_log

SCRIPT = """
import sys
from mgnet_fast.training import Recipe, run
run(data_dir=sys.argv[1], out=sys.argv[2], threads=1, progress=False, tensorboard=False,
    recipe=Recipe(epochs=2, batch_size=20, peak_lr=0.02, size_weight=1.0, average_decay=0.9))
"""
RECIPE = Recipe(epochs=2, batch_size=20, peak_lr=0.02, size_weight=1.0, average_decay=0.9)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_equal_one(mnist_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(script), str(mnist_folder), str(tmp_path / "two")],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    one = run(
        data_dir=mnist_folder,
        out=tmp_path / "one",
        recipe=RECIPE,
        threads=1,
        progress=False,
        tensorboard=False,
    )
    expected = load_checkpoint(one.checkpoint).state_dict()
    got = load_checkpoint(tmp_path / "two" / "model.safetensors").state_dict()
    start = load_first_weights()
    for name, weight in expected.items():
        torch.testing.assert_close(got[name], weight, rtol=0, atol=2e-5, msg=name)
    moved = max(float((expected[name] - start[name]).abs().max()) for name in expected)
    assert moved > 1e-3
    rows, others = read_log(one.log)[1:], read_log(tmp_path / "two" / "log.jsonl")[1:]
    assert read_log(tmp_path / "two" / "log.jsonl")[0]["processes"] == 2
    for row, other in zip(rows, others, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=1e-4)
        assert other["global"] == pytest.approx(row["global"], rel=1e-4)


def load_first_weights() -> dict[str, torch.Tensor]:
    from mgnet_fast.models import create_model

    torch.manual_seed(0)
    return create_model("mgnet_toy").state_dict()


def test_plain_python_is_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined_workers("cpu") as workers:
        assert workers == Workers(0, 1, 0)
        assert workers.is_main
        workers.barrier()


def test_devices() -> None:
    assert device_for("cpu", Workers()) == torch.device("cpu")
    with pytest.raises(ValueError, match="device must be one such as"):
        device_for("tpu9", Workers())
