"""Two processes that share an evaluation get the figures of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mgnet_fast.data import Digits, TranslatedMNIST
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models import create_model

PROGRAM = """
import json, sys
import torch
import torch.distributed as dist
from mgnet_fast.data import Digits, TranslatedMNIST
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models.files.checkpoints import load_checkpoint

rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
images = torch.load(folder + "/digits.pt")
scenes = TranslatedMNIST(Digits(images, torch.arange(len(images)) % 10), seed=1)
model = load_checkpoint(folder + "/toy.safetensors")
looked = []
inner = model.forward
model.forward = lambda images, **options: looked.append(len(images)) or inner(images, **options)
found = evaluate(model, scenes, batch_size=5, rank=rank, world_size=size)
print(json.dumps({**found.to_dict(), "looked": looked}))
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_get_the_figures_of_one(tmp_path: Path, restored_threads: None) -> None:
    from mgnet_fast.models.files.checkpoints import load_checkpoint, save_checkpoint

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (23, 28, 28), dtype=torch.uint8, generator=generator)
    torch.save(images, tmp_path / "digits.pt")
    torch.manual_seed(0)
    save_checkpoint(create_model("mgnet_toy"), tmp_path / "toy.safetensors")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), "2", str(tmp_path)],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    found = [json.loads(process.communicate(timeout=300)[0]) for process in processes]

    torch.set_num_threads(1)
    scenes = TranslatedMNIST(Digits(images, torch.arange(23) % 10), seed=1)
    model = load_checkpoint(tmp_path / "toy.safetensors")
    alone = evaluate(model, scenes, batch_size=5).to_dict()
    assert [one.pop("looked") for one in found] == [[5, 5, 3], [5, 5]]
    assert found == [alone, alone]


def test_a_batch_size_below_one_is_refused() -> None:
    scenes = TranslatedMNIST(Digits(torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1)))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        evaluate(create_model("mgnet_toy"), scenes, batch_size=0)
