"""Exits that learn from the state F_t, beside the rules that read the class probabilities.

    python -m bench.studies.learned_exits --data DIR --checkpoint FILE --out ROWS.json
        [--noise-std X] [--count N] [--states FILE]

The network is finished. It looks at training digits at new places, and small heads (one hidden
layer of 64) learn from its own mistakes there, 10,000 scenes held out to choose the epoch and the
temperature:

- gain: P(the last glimpse is right, this one wrong) - P(this one right, the last one wrong);
- learned: the gain as the package's `LearnedExit` predicts it, 16 hidden units and the five most
  likely classes;
- value: the return of AdaptiveNN's value network (Wang et al. 2025), by how much the cross-entropy
  still falls, as a regression.

A head reads F_t ("F"), the sorted log-probabilities ("p") or both, and the number of the glimpse.
An image leaves where the prediction is low. Every rule has one bar, set on the test scenes without
their labels to the same mean number of glimpses. "bars" is the confidence with a bar per glimpse,
fitted to the labels of the held-out scenes (`fitted_bars`). Differences are paired, to `Confidence`
with one bar at the same mean number of glimpses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgnet_fast.data import load_dataset
from mgnet_fast.engine import Confidence, Entropy, Margin
from mgnet_fast.evaluation.exits.calibration_error import fit_temperature
from mgnet_fast.evaluation.exits.learning import learned_from
from mgnet_fast.evaluation.exits.thresholds import (
    Bars,
    fitted_bars,
    glimpses_taken,
    one_bar,
    step_bars,
)
from mgnet_fast.models import MGNet
from mgnet_fast.models.files.checkpoints import load_checkpoint

TRAIN_SEED, TEST_SEEDS = 777, (None, 10_001)
HELD_OUT = 10_000
BUDGETS = (1.1, 1.2, 1.3, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0)
EPOCHS, BATCH, PEAK_LR = 6, 1024, 4e-3
Target = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Looked:
    """What a network saw: states [T, N, D] in half precision, logits [T, N, K], labels [N]."""

    states: Tensor
    logits: Tensor
    labels: Tensor

    @property
    def right(self) -> Tensor:
        return self.logits.argmax(-1) == self.labels

    def part(self, start: int, stop: int | None) -> Looked:
        at = slice(start, stop)
        return Looked(self.states[:, at], self.logits[:, at], self.labels[at])


@dataclass(frozen=True)
class Row:
    """A rule at a mean number of glimpses; difference to Confidence, half of its 95 % interval."""

    rule: str
    budget: float
    mean_glimpses: float
    accuracy: float
    difference: float
    half_width: float


def _gain(right: Tensor, _: Tensor) -> Tensor:
    return right[-1:].long() - right[:-1].long() + 1


def _value(_: Tensor, loss: Tensor) -> Tensor:
    return loss[:-1] - loss[-1:]


HEADS: dict[str, tuple[Target, str]] = {
    "gain F": (_gain, "F"),
    "gain Fp": (_gain, "Fp"),
    "gain p": (_gain, "p"),
    "value F": (_value, "F"),
    "value Fp": (_value, "Fp"),
}


@torch.inference_mode()
def look(
    model: MGNet, data: Path, split: str, seed: int | None, noise: float, count: int
) -> Looked:
    """The network's states and answers for the first ``count`` scenes of this seed."""
    kind = "noisy-translated-mnist" if noise else "translated-mnist"
    scenes = load_dataset(kind, data, split, seed=seed, noise_std=noise or None)
    found: list[Tensor] = []
    handle = model.feat_fusion.register_forward_hook(lambda _, __, state: found.append(state))
    states, logits = [], []
    for start in range(0, count, 250):
        found.clear()
        images = scenes.scenes(np.arange(start, min(start + 250, count)))
        logits.append(model(images)["n_logit"])
        states.append(torch.stack(found).half())
    handle.remove()
    return Looked(torch.cat(states, 1), torch.cat(logits, 1), scenes.labels[:count])


def inputs(looked: Looked, reads: str) -> Tensor:
    """[T, N, ...]: the number of the glimpse as a unit vector, F_t and log-probabilities."""
    steps, count = looked.logits.shape[:2]
    parts = [torch.eye(steps)[:, None].expand(steps, count, steps)]
    if "F" in reads:
        parts.append(looked.states.float())
    if "p" in reads:
        logs = looked.logits.log_softmax(-1).clamp_min(-20)
        parts.append(logs.sort(-1, descending=True).values / 4)
    return torch.cat(parts, -1)


def fitted(train: Looked, held_out: Looked, target: Target, reads: str) -> nn.Module:
    """The head after the epoch in which its loss on the held-out scenes is lowest."""

    def flat(looked: Looked) -> tuple[Tensor, Tensor]:
        labels = looked.labels.expand(len(looked.logits), -1)
        loss = F.cross_entropy(looked.logits.transpose(1, 2), labels, reduction="none")
        return inputs(looked, reads)[:-1].flatten(0, 1), target(looked.right, loss).flatten()

    def loss_of(output: Tensor, wanted: Tensor) -> Tensor:
        if wanted.is_floating_point():
            return F.mse_loss(output[:, 0], wanted)
        return F.cross_entropy(output, wanted)

    (x, y), (held_x, held_y) = flat(train), flat(held_out)
    torch.manual_seed(0)
    head = nn.Sequential(
        nn.Linear(x.shape[-1], 64), nn.ReLU(), nn.Linear(64, 1 if y.is_floating_point() else 3)
    )
    optimizer = torch.optim.AdamW(head.parameters(), PEAK_LR, weight_decay=1e-3)
    steps = len(y) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, EPOCHS * steps)
    lowest, best = float("inf"), head.state_dict()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(y))[: steps * BATCH].split(BATCH):
            loss = loss_of(head(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            held = float(loss_of(head(held_x), held_y))
        if held < lowest:
            lowest, best = held, {name: each.clone() for name, each in head.state_dict().items()}
    head.load_state_dict(best)
    return head.requires_grad_(False)


def scores(train: Looked, held_out: Looked, test: Looked) -> dict[str, Tensor]:
    """The score [T, N] of each rule on the test scenes; higher means leave."""
    temperature = temperature_of(held_out)
    steps = len(test.logits)
    length = torch.arange(1, steps + 1)[:, None].expand(test.logits.shape[:2])
    rule = learned_from(
        torch.cat([train.logits, held_out.logits], 1), torch.cat([train.labels, held_out.labels])
    )
    kinds = {"confidence": Confidence(), "margin": Margin(), "entropy": Entropy()}
    found = {name: rule.score(test.logits / temperature) for name, rule in kinds.items()}
    found["learned"] = rule.score(test.logits, length)
    for name, (target, reads) in HEADS.items():
        output = fitted(train, held_out, target, reads)(inputs(test, reads))
        chances = output.softmax(-1)
        is_value = output.shape[-1] == 1
        found[name] = -output[..., 0] if is_value else chances[..., 0] - chances[..., 2]
    return found


def temperature_of(looked: Looked) -> float:
    return fit_temperature(looked.logits.flatten(0, 1), looked.labels.repeat(len(looked.logits)))


class Comparison:
    """Rules on the test scenes, each against one bar on the confidence."""

    def __init__(self, found: dict[str, Tensor], held_out: Looked, right: np.ndarray) -> None:
        self._found = {name: score.numpy() for name, score in found.items()}
        self._right = right
        self._costs = list(range(1, len(right) + 1))
        self._held = Confidence().score(held_out.logits / temperature_of(held_out)).numpy()
        self._held_right = held_out.right.numpy()

    def rows(self) -> list[Row]:
        """Every rule at every budget below T."""
        result = []
        for budget in (each for each in BUDGETS if each < len(self._right)):
            for name, score in self._found.items():
                result.append(self._row(name, budget, score, self._one_bar(score, budget)))
            bars = fitted_bars(self._held, self._held_right, self._costs, budget)
            result.append(self._row("bars", budget, self._found["confidence"], bars))
        return result

    def _one_bar(self, score: np.ndarray, budget: float) -> Bars:
        return step_bars(one_bar(score, self._costs, budget), len(score))

    def _answers(self, score: np.ndarray, bars: Bars) -> tuple[float, np.ndarray]:
        taken = glimpses_taken(score, bars)
        right = self._right[taken - 1, np.arange(len(taken))]
        return float(taken.mean()), right.astype(float)

    def _row(self, name: str, budget: float, score: np.ndarray, bars: Bars) -> Row:
        mean, right = self._answers(score, bars)
        confidence = self._found["confidence"]
        difference = right - self._answers(confidence, self._one_bar(confidence, mean))[1]
        half = 1.96 * difference.std() / len(difference) ** 0.5
        measured = (mean, right.mean(), difference.mean(), half)
        return Row(name, budget, *(round(float(each), 6) for each in measured))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.learned_exits")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's files")
    parser.add_argument("--checkpoint", type=Path, required=True, help="of an MGNet on digits")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--noise-std", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=60_000, help="training scenes")
    parser.add_argument("--states", type=Path, help="keep what the network saw in this file")
    given = parser.parse_args()
    if given.states and given.states.is_file():
        parts = [Looked(*each) for each in torch.load(given.states).values()]
    else:
        model = load_checkpoint(given.checkpoint).eval()
        sets = [("train", TRAIN_SEED, given.count), *(("test", s, 10_000) for s in TEST_SEEDS)]
        parts = [look(model, given.data, *each[:2], given.noise_std, each[2]) for each in sets]
        if given.states:
            kept = {str(n): (p.states, p.logits, p.labels) for n, p in enumerate(parts)}
            torch.save(kept, given.states)
    train, *tests = parts
    test = Looked(
        torch.cat([each.states for each in tests], 1),
        torch.cat([each.logits for each in tests], 1),
        torch.cat([each.labels for each in tests]),
    )
    cut = len(train.labels) - HELD_OUT
    found = scores(train.part(0, cut), train.part(cut, None), test)
    table = Comparison(found, train.part(cut, None), test.right.numpy()).rows()
    given.out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in table))
    for budget in dict.fromkeys(row.budget for row in table):
        print(f"mean glimpses {budget}")
        for row in (each for each in table if each.budget == budget):
            interval = f"{100 * row.difference:+.2f} ± {100 * row.half_width:.2f}"
            print(
                f"  {row.rule:12s} {row.mean_glimpses:.3f} {100 * row.accuracy:6.2f} %  {interval}"
            )


if __name__ == "__main__":
    main()
