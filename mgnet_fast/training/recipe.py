"""Recipes: all numbers of a training run's optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class Recipe:
    """One training recipe.

    Attributes:
        epochs: number of passes over the training set.
        batch_size: images per step, over all processes.
        peak_lr: highest learning rate of the one-cycle schedule.
        weight_decay: on every parameter.
        pct_start: share of the steps in which the learning rate rises.
        div_factor: peak divided by first learning rate.
        final_div_factor: first divided by last learning rate.
        base_momentum, max_momentum: momentum falls from max to base while the learning rate
            rises, and then returns to max.
        nesterov: whether SGD uses Nesterov momentum.
        alpha: weight of the glimpse part of an MGNet's loss.
        gradient_scale: s, factor on the gradient into the localization layer. None: the network's
            own.
        size_weight: weight of the penalty on the size of the last glimpse.
        label_smoothing: of the cross-entropies.
        average_decay: decay per step of the exponential moving average of the weights, which is
            evaluated. 0: the trained weights themselves are evaluated.
        gradient_scale_warmup: share of the steps in which the factor on the localization gradient
            rises linearly from 0.
        gradient_clip: largest norm of the gradient; a larger gradient is scaled down. 0: no
            limit.
        adaptive_gradient_share: if above 0, ``gradient_scale`` is only the initial factor, see
            :class:`GradientFactor`.
        layer_decay: factor on the learning rate from each layer of the backbone to the one before
            it, see :func:`parameter_groups`. 1: all layers learn alike.
        frozen_epochs: number of epochs, from the first, in which the backbone stays as it is.
        hide_first: share of the images of a batch whose later states do not see the first glimpse,
            see :class:`HiddenFirst`. 0: none.
        hide_first_steps: share of the steps, from the first, in which that is so.
        optimizer: "sgd", or "adamw", whose first beta replaces the momentum.

    Raises:
        ValueError: a number is out of range.
    """

    epochs: int
    batch_size: int = 256
    peak_lr: float = 0.1
    weight_decay: float = 1e-4
    pct_start: float = 0.2
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    nesterov: bool = False
    alpha: float = 0.6
    gradient_scale: float | None = 0.02
    size_weight: float = 1.0
    label_smoothing: float = 0.0
    average_decay: float = 0.0
    gradient_scale_warmup: float = 0.0
    gradient_clip: float = 0.0
    adaptive_gradient_share: float = 0.0
    layer_decay: float = 1.0
    frozen_epochs: int = 0
    hide_first: float = 0.0
    hide_first_steps: float = 0.35
    optimizer: str = "sgd"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("peak_lr", "div_factor", "final_div_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        at_least_0 = ("weight_decay", "size_weight", "gradient_clip", "adaptive_gradient_share")
        for name in (*at_least_0, "frozen_epochs"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        shares = ("pct_start", "alpha", "gradient_scale_warmup", "hide_first", "hide_first_steps")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("base_momentum", "max_momentum", "label_smoothing", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be in (0, 1], got {self.layer_decay}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}"
            )
        if self.adaptive_gradient_share and self.gradient_scale == 0:
            raise ValueError(
                "gradient_scale must be above 0 for adaptive_gradient_share to start from, "
                f"got {self.gradient_scale}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Fields in which this recipe differs from a saved one, as "name: saved -> this".

        Fields missing in the saved recipe count as their defaults, so that runs of older versions
        can be resumed: the defaults of new fields change nothing.
        """
        mine = self.to_dict()
        other = {f.name: f.default for f in fields(self) if f.default is not MISSING} | dict(other)
        names = [field.name for field in fields(self)] + [n for n in other if n not in mine]
        return [
            f"{name}: {other.get(name)} -> {mine.get(name)}"
            for name in names
            if other.get(name) != mine.get(name)
        ]


RECIPES: dict[str, Recipe] = {
    # The published optimiser and loss for translated MNIST. Its number of epochs and its
    # size_weight are not published.
    "paper": Recipe(epochs=60),
    # AdamW trains the localization layer at full speed whatever the factor on its gradient, so the
    # factor protects the backbone without slowing the search for the digit. size_weight 1 leaves
    # the last glimpses near the largest size, where a digit is seen at half its resolution; 10
    # makes them smaller than a digit. The shipped checkpoint is from 52 epochs.
    "default": Recipe(
        epochs=24,
        batch_size=64,
        peak_lr=2e-3,
        weight_decay=0.01,
        pct_start=0.15,
        div_factor=10.0,
        size_weight=3.0,
        average_decay=0.9995,
        optimizer="adamw",
    ),
    # As published for ImageNet100. gradient_scale is the network's: 0.02 for ResNet-18, else 0.01.
    "imagenet100": Recipe(epochs=400, gradient_scale=None, size_weight=0.0),
    # For a few hundred or thousand photographs, and for backbones that somebody has trained: their
    # first layers change least. Usual numbers, not tuned on photographs; without label smoothing,
    # which would keep probabilities from the thresholds of exits.
    "fine-tune": Recipe(
        epochs=20,
        batch_size=32,
        peak_lr=1e-3,
        weight_decay=0.05,
        div_factor=10.0,
        gradient_scale=None,
        size_weight=0.0,
        average_decay=0.99,
        layer_decay=0.9,
        optimizer="adamw",
    ),
    # The number of epochs is not published, only that it is larger than that of its peers.
    "tiny-imagenet": Recipe(epochs=400, gradient_scale=None, size_weight=0.0),
}


def antialiases(recipe: str, model: str) -> bool | None:
    """Whether networks of this name average the pixels between their samples by this recipe.

    MGNets do by "default" and "fine-tune": at the same multiply-adds the first look is worth ten
    points more. The published ones do not. None: the network's own.
    """
    return True if recipe in ("default", "fine-tune") and model.startswith("mgnet_") else None


def hides_first(recipe: str, model: str, antialias: bool | None) -> dict[str, float]:
    """What this recipe changes for networks that average: ``hide_first`` and ``hide_first_steps``.

    By "default", MGNets with ``antialias`` do not see the first glimpse of half of the images again
    in the first tenth of the steps. They then reach 99 % on translated MNIST after 6 to 8 epochs
    instead of 11. ``antialias`` None: that of the recipe.
    """
    averages = antialiases(recipe, model) if antialias is None else antialias
    if recipe != "default" or not model.startswith("mgnet_") or not averages:
        return {}
    return {"hide_first": 0.5, "hide_first_steps": 0.1}


def get_recipe(recipe: str | Recipe, **changes: Any) -> Recipe:
    """A recipe by name, with changed fields; changes that are None are ignored.

    Raises:
        ValueError: the recipe or a changed field is unknown, or a value is out of range.
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
        recipe = RECIPES[recipe]
    known = {field.name for field in fields(Recipe)}
    for name in changes:
        if name not in known:
            raise ValueError(f"a recipe has the fields {', '.join(sorted(known))}, got {name!r}")
    return replace(recipe, **{name: value for name, value in changes.items() if value is not None})
