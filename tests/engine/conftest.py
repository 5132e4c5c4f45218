"""The shipped toy network, digit scenes, and a runner that only pretends to look."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.engine.runners.runner import StepInput
from mgnet_fast.models import MGNet, MGNetConfig

Logits = Callable[[int, int], list[float]]


class ScriptedRunner:
    """Gives the logits that a script asks for.

    An image's number is its pixels' value. Each step writes ``number + t`` into the slot's token
    and checks that the tokens before are the slot's own. A slot at t = 0 is free.
    """

    def __init__(self, logits: Logits, num_glimpses: int = 4, num_classes: int = 3) -> None:
        self.config = MGNetConfig(
            num_classes=num_classes, in_chans=1, num_glimpses=num_glimpses, glimpse_size=4
        )
        self.num_classes = num_classes
        self.device = torch.device("cpu")
        self.logits = logits
        self.rows: list[int] = []  # of each step
        self.busy: list[int] = []  # rows of it that hold an image
        self.seen: list[tuple[int, int]] = []  # (number, t) of each row of each step

    def initial_regions(self, count: int) -> Tensor:
        return torch.eye(1, 3).repeat(count, 1)

    def new_tokens(self, slots: int) -> Tensor:
        return torch.full((slots, self.config.num_glimpses, 1), torch.nan)

    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        images, region, tokens, length, image_index = given
        places = range(len(length)) if image_index is None else image_index.tolist()
        logits, following = [], []
        self.rows.append(len(length))
        self.busy.append(int((length > 0).sum()))
        for slot, (place, t) in enumerate(zip(places, length.tolist(), strict=True)):
            picture = images[place]
            if t == 0:
                logits.append([torch.nan] * self.num_classes)
                following.append([torch.nan] * 3)
                continue
            number = int(picture.flatten()[0])
            tokens[slot, t - 1] = 100 * number + t
            own = [100.0 * number + step for step in range(1, t + 1)]
            assert tokens[slot, :t, 0].tolist() == own
            wanted = [1.0, 0.0, 0.0] if t == 1 else [number, t, 0]
            assert region[slot].tolist() == wanted
            logits.append(self.logits(number, t))
            following.append([number, t + 1, 0])
            self.seen.append((number, t))
        return torch.tensor(logits), torch.tensor(following).float()


@pytest.fixture
def scripted() -> type[ScriptedRunner]:
    return ScriptedRunner


@pytest.fixture(scope="session")
def model() -> MGNet:
    """The shipped toy network: T = 3, trained."""
    return load_model()


@pytest.fixture(scope="session")
def digit_scenes() -> Tensor:
    """uint8 [500, 1, 112, 112]: each shipped digit at a place of its own."""
    return load_scenes().scenes(np.arange(500))


@pytest.fixture(scope="session")
def one_by_one(model: MGNet, digit_scenes: Tensor) -> Tensor:
    """Logits [3, 500, 10] after each glimpse, one image at a time."""
    with torch.no_grad():
        each = [model(scene[None])["n_logit"] for scene in digit_scenes]
    return torch.cat(each, dim=1)


@pytest.fixture(scope="session")
def exact(model: MGNet, digit_scenes: Tensor) -> Tensor:
    """The same in float64."""
    with torch.no_grad():
        return copy.deepcopy(model).double()(digit_scenes)["n_logit"]


@pytest.fixture(scope="session")
def own_error(model: MGNet, digit_scenes: Tensor, one_by_one: Tensor, exact: Tensor) -> float:
    """How far the network's own float32 logits are from float64: in a batch, one by one, and with
    weights in channels_last, where the same sums are added up in another order."""
    channels_last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        own = [one_by_one, *(each(digit_scenes)["n_logit"] for each in (model, channels_last))]
    return max(float((each - exact).abs().max()) for each in own)
