"""Learns an exit rule from a finished network's own mistakes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgnet_fast.engine import Engine, LearnedExit
from mgnet_fast.engine.learned_exit import ExitHead, Rows, exit_features

FEWEST = 50  # images to learn from
_STEPS, _BATCH, _PEAK_LR, _READINGS = 1500, 1024, 4e-3, 15


def learn_exit(
    engine: Engine,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    max_glimpses: int | None = None,
    hidden: int = 16,
    seed: int = 0,
) -> LearnedExit:
    """A :class:`mgnet_fast.LearnedExit` for this engine's network.

    The network looks at every image with all glimpses. A small head learns from the answers on the
    way whether the last one will be better, worse or just as good; a fifth of the images is held
    out to choose among its states. Afterwards give the rule to :func:`calibrate_exit`, with other
    images, for a threshold that meets a budget.

    Args:
        engine: gives network, slots and runner.
        loader: batches (images [B, C, H, W], labels int64 [B]) of images that the network was not
            trained on; on those it makes fewer mistakes than it will.
        max_glimpses: the last answer is the one after so many. Default: the network's T.
        hidden: width of the head.
        seed: of the head's first weights and of the order of the images.

    Raises:
        ValueError: there are fewer than 50 images, the network takes a single glimpse, or a number
            is out of range.
    """
    steps = engine.model.config.num_glimpses if max_glimpses is None else max_glimpses
    if not 2 <= steps <= engine.model.config.num_glimpses:
        raise ValueError(
            f"max_glimpses must be in 2..{engine.model.config.num_glimpses}, got {steps}"
        )
    if hidden < 1:
        raise ValueError(f"hidden must be at least 1, got {hidden}")
    seen = [(engine.logits_after_each(images)[:steps], labels.cpu()) for images, labels in loader]
    count = sum(len(labels) for _, labels in seen)
    if count < FEWEST:
        raise ValueError(f"loader must give at least {FEWEST} images, got {count}")
    logits = torch.cat([each for each, _ in seen], dim=1)
    return learned_from(logits, torch.cat([each for _, each in seen]), hidden, seed)


def learned_from(logits: Tensor, labels: Tensor, hidden: int = 16, seed: int = 0) -> LearnedExit:
    """:func:`learn_exit` from answers: logits [T, N, K] after each glimpse, labels int64 [N]."""
    count = len(labels)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        order = torch.randperm(count)
        held_out, train = order[: count // 5], order[count // 5 :]
        head = _fitted(
            _examples(logits[:, train], labels[train]),
            _examples(logits[:, held_out], labels[held_out]),
            hidden,
        )
    return LearnedExit(head=head)


def _examples(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What the head reads after every glimpse but the last, and what looking on changes: 0 for
    worse, 1 for nothing, 2 for better. Logits that are not finite teach nothing."""
    right = (logits.argmax(-1) == labels).long()
    steps = len(logits)
    length = torch.arange(1, steps)[:, None].expand(steps - 1, len(labels))
    known = logits[:-1].isfinite().all(-1)
    change = right[-1:] - right[:-1] + 1
    return exit_features(logits[:-1], length, steps)[known], change[known]


def _fitted(train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], hidden: int) -> ExitHead:
    """The head of the reading whose loss on the held-out examples is lowest."""
    features, change = train
    first, second = nn.Linear(features.shape[1], hidden), nn.Linear(hidden, 3)
    head = nn.Sequential(first, nn.ReLU(), second)
    optimizer = torch.optim.AdamW(head.parameters(), _PEAK_LR, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_LR, _STEPS)
    lowest, best = float("inf"), None
    for step in range(1, _STEPS + 1):
        rows = torch.randint(len(change), (min(_BATCH, len(change)),))
        loss = F.cross_entropy(head(features[rows]), change[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (_STEPS // _READINGS) == 0:
            with torch.no_grad():
                held = float(F.cross_entropy(head(held_out[0]), held_out[1]))
            if best is None or held < lowest:
                lowest, best = held, _plain(first, second)
    assert best is not None
    return best


def _plain(first: nn.Linear, second: nn.Linear) -> ExitHead:
    """The layers as numbers with seven digits, as many as float32 has."""

    def rows(matrix: Tensor) -> Rows:
        return tuple(tuple(float(f"{x:.7g}") for x in row) for row in matrix.tolist())

    def row(vector: Tensor) -> tuple[float, ...]:
        return rows(vector[None])[0]

    with torch.no_grad():
        return ExitHead(rows(first.weight), row(first.bias), rows(second.weight), row(second.bias))
