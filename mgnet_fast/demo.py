"""The work of the demo: accuracy, a picture, and speed on digits in large scenes.

Everything it needs is shipped: 500 test digits and the trained toy network. All numbers are
measured in the run itself.
"""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .assets import digit_paths, toy_checkpoint_path
from .data import MNIST_MEAN, MNIST_STD, TEST_SEED, TranslatedMNIST, read_digits
from .data.digits.mnist import Digits
from .functional import glimpse
from .models import MGNet, create_model
from .models.files.checkpoints import load_checkpoint
from .models.mgnet.published import published_forward
from .pictures import draw_glimpses

# The published algorithm computes its sampling grid in float32, with errors up to 6e-5 at 224
# pixels. In a network they grow from glimpse to glimpse, because each error moves the next region:
# over the 256 scenes of the toy case to 4e-4 of the largest logit. That is the published
# algorithm's distance from float64; this package's is 2e-5.
AGREEMENT = 1e-3
LEAST_SAMPLE_SECONDS = 2e-3
LEAST_PAIRS = 5


def load_model(checkpoint: str | Path | None = None) -> MGNet:
    """The shipped toy network, or one from a checkpoint, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint of a network with one channel and ten classes.
    """
    model = load_checkpoint(checkpoint or toy_checkpoint_path())
    config = model.config
    if (config.in_chans, config.num_classes) != (1, 10):
        raise ValueError(
            "checkpoint must be of a network for translated MNIST (1 channel, 10 classes), "
            f"got {config.in_chans} channels, {config.num_classes} classes"
        )
    return model.eval()


def load_scenes(count: int | None = None) -> TranslatedMNIST:
    """The first ``count`` shipped digits (default all 500) at fixed places in 112x112 scenes.

    Raises:
        ValueError: count is not in 1..500.
    """
    digits = read_digits(*digit_paths())
    available = len(digits.labels)
    count = available if count is None else count
    if not 1 <= count <= available:
        raise ValueError(f"count must be from 1 to the {available} shipped digits, got {count}")
    return TranslatedMNIST(Digits(digits.images[:count], digits.labels[:count]), seed=TEST_SEED)


@dataclass(frozen=True)
class Picture:
    """A picture that was written, with the number of scenes of each kind on it."""

    path: Path
    right_throughout: int
    corrected: int
    wrong: int


@torch.inference_mode()
def draw_examples(model: MGNet, scenes: TranslatedMNIST, path: str | Path) -> Picture:
    """Draw nine scenes with their glimpses: up to three each of wrong, corrected and right."""
    images = scenes.scenes(np.arange(len(scenes)))
    output = model(images)
    confidences, predictions = output["n_logit"].softmax(-1).max(-1)
    right = predictions == scenes.labels
    groups = pick_examples(right)
    chosen = torch.tensor([n for group in groups for n in group])
    regions = output["n_affparam"][:, chosen]
    shown = images[chosen]
    size = model.config.glimpse_shape((images.shape[-2], images.shape[-1]))
    steps = len(regions)
    written = draw_glimpses(
        shown,
        regions,
        torch.stack([glimpse(shown, each, size, antialias=model.antialias) for each in regions]),
        predictions[:, chosen],
        scenes.labels[chosen],
        path,
        confidences=confidences[:, chosen],
        title=f"{steps} glimpse{'s' if steps > 1 else ''} of {size[0]}x{size[1]} pixels "
        f"from scenes of {images.shape[-2]}x{images.shape[-1]}",
        blocks_per_row=3,
    )
    return Picture(written, *(len(group) for group in groups))


def pick_examples(right: Tensor, count: int = 9) -> tuple[list[int], list[int], list[int]]:
    """Indices of scenes that are right after every glimpse, corrected later, and wrong at the end.

    Args:
        right: bool [T, N].
        count: total number, shared evenly as far as possible; more frequent kinds fill the rest.
    """
    wrong = (~right[-1]).nonzero().flatten().tolist()
    always = right.all(0).nonzero().flatten().tolist()
    corrected = (right[-1] & ~right.all(0)).nonzero().flatten().tolist()
    share = count // 3
    few_wrong, few_corrected = wrong[:share], corrected[:share]
    few_right = always[: count - len(few_wrong) - len(few_corrected)]
    missing = count - len(few_right) - len(few_wrong) - len(few_corrected)
    few_corrected += corrected[share : share + missing]
    missing = count - len(few_right) - len(few_wrong) - len(few_corrected)
    few_wrong += wrong[share : share + missing]
    return few_right, few_corrected, few_wrong


@dataclass(frozen=True)
class Comparison:
    """One comparison of this package with the published algorithm.

    Attributes:
        case: a description.
        difference: largest difference of the results, relative to the largest result.
        published_seconds, package_seconds: median time per call; NaN if not measured.
        ratio, ratio_low, ratio_high: median, 20th and 80th percentile over the pairs of
            published time / package time; NaN if the results disagree.
        pairs: number of pairs.
        agreement: the largest allowed ``difference``.
    """

    case: str
    difference: float
    published_seconds: float = math.nan
    package_seconds: float = math.nan
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    pairs: int = 0
    agreement: float = AGREEMENT

    @property
    def agrees(self) -> bool:
        """Whether the results agree up to rounding; otherwise no speed is measured."""
        return self.difference <= self.agreement


Run = Callable[[], Tensor]


def compare_speed(model: MGNet, scenes: TranslatedMNIST, seconds: float) -> Iterator[Comparison]:
    """Measure one case after another, in about ``seconds`` in total."""
    cases: list[Callable[[], tuple[str, Run, Run]]] = [_glimpse_case, _resnet_case]
    if not model.antialias:  # which the published algorithm does not
        cases[1:1] = [_toy_case(model, scenes, 1), _toy_case(model, scenes, 256)]
    for case in cases:
        name, published, package = case()
        yield compare(name, published, package, seconds / len(cases))


@torch.inference_mode()
def compare(
    name: str, published: Run, package: Run, seconds: float, agreement: float = AGREEMENT
) -> Comparison:
    """Compare the results first, then measure interleaved pairs."""
    wanted, got = published(), package()
    difference = float((wanted - got).abs().max() / wanted.abs().max().clamp_min(1e-12))
    parity = Comparison(name, difference, agreement=agreement)
    if not parity.agrees:
        return parity
    first, second = _measure_pairs(published, package, seconds)
    ratios = first / second
    low, middle, high = np.percentile(ratios, [20, 50, 80])
    return Comparison(
        name,
        difference,
        published_seconds=float(np.median(first)),
        package_seconds=float(np.median(second)),
        ratio=float(middle),
        ratio_low=float(low),
        ratio_high=float(high),
        pairs=len(ratios),
        agreement=agreement,
    )


def _measure_pairs(first: Run, second: Run, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds per call, measured in pairs of alternating order, so that changes in the machine's
    speed affect both sides alike.

    Like bench/interleaved.py of the source tree, which is not installed.
    """
    runs = (first, second)
    repeats = [_repeats(run) for run in runs]
    pairs: list[tuple[float, float]] = []
    was_enabled = gc.isenabled()
    gc.disable()  # a collection would slow one of a pair
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(pairs) < LEAST_PAIRS:
            order = (0, 1) if len(pairs) % 2 == 0 else (1, 0)
            taken = [0.0, 0.0]
            for which in order:
                taken[which] = _time(runs[which], repeats[which])
            pairs.append((taken[0], taken[1]))
    finally:
        if was_enabled:
            gc.enable()
    measured = np.array(pairs)
    return measured[:, 0], measured[:, 1]


def _repeats(run: Run) -> int:
    """The number of calls per sample that is long enough for the clock."""
    _time(run, 3)  # warm-up: allocator, code caches
    return max(1, math.ceil(LEAST_SAMPLE_SECONDS / max(_time(run, 1), 1e-7)))


def _time(run: Run, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def _glimpse_case() -> tuple[str, Run, Run]:
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    region = torch.tensor([[0.35, 0.1, -0.2]])

    def published() -> Tensor:
        scale, x, y = region.unbind(1)
        zero = torch.zeros_like(scale)
        theta = torch.stack([scale, zero, x, zero, scale, y], 1).view(-1, 2, 3)
        grid = F.affine_grid(theta, [1, 3, 96, 96], align_corners=True)
        return F.grid_sample(image, grid, align_corners=True)

    return "glimpse, 224 to 96 px", published, lambda: glimpse(image, region, 96)


def _toy_case(
    model: MGNet, scenes: TranslatedMNIST, batch: int
) -> Callable[[], tuple[str, Run, Run]]:
    def case() -> tuple[str, Run, Run]:
        pixels = scenes.scenes(np.arange(batch) % len(scenes)).float() / 255
        images = (pixels - MNIST_MEAN) / MNIST_STD
        name = f"toy, {_steps(model)}, batch {batch}"
        return (name, *_model_runs(model, images))

    return case


def _resnet_case() -> tuple[str, Run, Run]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model("mgnet_resnet18", num_classes=100).eval()
        images = torch.randn(1, 3, 224, 224)
    return (f"ResNet-18, {_steps(model)}, batch 1", *_model_runs(model, images))


def _model_runs(model: MGNet, images: Tensor) -> tuple[Run, Run]:
    """The published algorithm in NCHW, as published, and this package in channels_last."""
    fast = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast_images = images.contiguous(memory_format=torch.channels_last)
    return (
        lambda: published_forward(model, images)["n_logit"],
        lambda: fast(fast_images)["n_logit"],
    )


def _steps(model: MGNet) -> str:
    return f"T={model.config.num_glimpses}"
