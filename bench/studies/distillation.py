"""Whether three glimpses teach the first one: labels alone against labels and a teacher.

    python -m bench.studies.distillation --data DIR --states FILE --out ROWS.json [--count N]

FILE is what `bench.studies.learned_exits --states FILE` keeps of the teacher, the shipped
`mgnet_toy` with `antialias=True`: its logits after the last glimpse for 60,000 training scenes.
Two copies of that network are trained further on these scenes to answer after one glimpse, with
the same batches in the same order:

    labels:    CE(z, y)
    distilled: 0.3 CE(z, y) + 0.7 h^2 KL(softmax(teacher / h) || softmax(z / h)), h = 3

Source of the loss: Hinton et al. 2015. Accuracies are of both sets of 10,000 test scenes together,
in float32; the difference is paired.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.studies.learned_exits import TEST_SEEDS, TRAIN_SEED
from mgnet_fast.data import load_dataset
from mgnet_fast.models import MGNet, create_model

BATCH, PEAK_LR, WARMUP = 64, 1e-3, 200
HEAT, SHARE = 3.0, 0.7
NAMES = ("labels", "distilled")


def loss_of(name: str, logits: Tensor, labels: Tensor, taught: Tensor) -> Tensor:
    loss = F.cross_entropy(logits, labels)
    if name == "labels":
        return loss
    divergence = F.kl_div(
        (logits / HEAT).log_softmax(-1),
        (taught / HEAT).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - SHARE) * loss + SHARE * HEAT**2 * divergence


@torch.inference_mode()
def right(model: MGNet, data: Path, count: int) -> Tensor:
    """float64 [N]: 1 where the answer after one glimpse is right."""
    model.eval()
    found = []
    for seed in TEST_SEEDS:
        scenes = load_dataset("translated-mnist", data, "test", seed=seed)
        for at in np.array_split(np.arange(count), max(count // 500, 1)):
            answer = model(scenes.scenes(at), num_glimpses=1)["n_logit"][0].argmax(-1)
            found.append(answer == scenes.labels[torch.from_numpy(at)])
    model.train()
    return torch.cat(found).double()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.distillation")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's files")
    parser.add_argument("--states", type=Path, required=True, help="the teacher's answers")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--count", type=int, default=60_000, help="training scenes")
    given = parser.parse_args()
    scenes = load_dataset("translated-mnist", given.data, "train", seed=TRAIN_SEED)
    _, logits, _ = next(iter(torch.load(given.states).values()))
    taught = logits[-1]
    models = {
        name: create_model("mgnet_toy", pretrained=True, antialias=True)
        .to(memory_format=torch.channels_last)
        .train()
        for name in NAMES
    }
    optimizers = {
        name: torch.optim.AdamW(model.parameters(), PEAK_LR, weight_decay=0.01)
        for name, model in models.items()
    }
    steps, step, rows = given.count // BATCH, 0, []
    for epoch in range(given.epochs):
        order = np.random.default_rng(epoch).permutation(given.count)
        for start in range(0, steps * BATCH, BATCH):
            chosen = order[start : start + BATCH]
            images, at = scenes.scenes(chosen), torch.from_numpy(chosen)
            falling = (1 + math.cos(math.pi * step / (given.epochs * steps))) / 2
            for name, model in models.items():
                for group in optimizers[name].param_groups:
                    group["lr"] = PEAK_LR * min(1, (step + 1) / WARMUP) * falling
                with torch.autocast("cpu", torch.bfloat16):
                    answer = model(images, num_glimpses=1)["n_logit"][0]
                loss = loss_of(name, answer, scenes.labels[at], taught[at])
                optimizers[name].zero_grad()
                loss.backward()
                optimizers[name].step()
            step += 1
        results = {name: right(model, given.data, 10_000) for name, model in models.items()}
        difference = results["distilled"] - results["labels"]
        row = {"epoch": epoch + 1, **{name: float(each.mean()) for name, each in results.items()}}
        row["difference"] = float(difference.mean())
        row["half_width"] = 1.96 * float(difference.std()) / len(difference) ** 0.5
        rows.append(row)
        print(json.dumps(row), flush=True)
        given.out.write_text("".join(json.dumps(each) + "\n" for each in rows))


if __name__ == "__main__":
    main()
