"""Settings of an attack: radius, space, steps, and which gradient it follows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Mode = Literal["paper", "honest", "worst"]
Space = Literal["normalised", "pixels"]


@dataclass(frozen=True)
class AttackSettings:
    """All numbers of an attack within an L-infinity ball.

    The modes :meth:`paper`, :meth:`honest` and :meth:`worst` are combinations of the fields.

    Attributes:
        eps: radius of the ball, in units of ``space``; at least 0.
        step: size of a step in each pixel, in the same units; at least 0.
        steps: number of gradient steps; at least 1.
        random_start: start at a uniformly random point of the ball instead of the image.
        restarts: number of starts. For each image the worst result for the network counts. More
            than one needs ``random_start``.
        space: "pixels" in [0, 1], or "normalised", pixels minus mean divided by std.
        clamp: keep pixels in [0, 1].
        gradient_scales: factors on the gradient between region and localization layer during the
            attack. None is the network's own factor, which masks that path. With several factors
            each is a complete attack, and the worst result counts. A network without a
            localization layer has nothing to scale and takes 1.0 and None only.
        seed: of the random starts; at least 0.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a value is out of range.
    """

    eps: float = 4 / 255
    step: float = 1 / 255
    steps: int = 10
    random_start: bool = True
    restarts: int = 1
    space: Space = "pixels"
    clamp: bool = True
    gradient_scales: tuple[float | None, ...] = (1.0,)
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.gradient_scales, tuple) or not self.gradient_scales:
            raise TypeError(
                f"gradient_scales must be a tuple of at least one, got {self.gradient_scales!r}"
            )
        numbers = [("eps", self.eps), ("step", self.step)]
        numbers += [("gradient_scales", s) for s in self.gradient_scales if s is not None]
        for name, value in numbers:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, got {value!r}")
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        for name, least in (("steps", 1), ("restarts", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.space not in get_args(Space):
            raise ValueError(f"space must be one of {get_args(Space)}, got {self.space!r}")
        if self.restarts > 1 and not self.random_start:
            raise ValueError(
                f"restarts must be 1 without random_start (all are equal), got {self.restarts}"
            )

    @classmethod
    def paper(cls, **changes: Any) -> AttackSettings:
        """The attack of the published code.

        In normalised space with eps 4/255 and steps of 1/255, starting at the image. Pixels may
        leave [0, 1], and the localization gradient is scaled as in training.
        """
        published = cls(
            random_start=False, space="normalised", clamp=False, gradient_scales=(None,)
        )
        return replace(published, **changes)

    @classmethod
    def honest(cls, **changes: Any) -> AttackSettings:
        """An attack in pixel space, within [0, 1], from a random start, that follows the whole
        gradient through the regions."""
        return cls(**changes)

    @classmethod
    def worst(cls, **changes: Any) -> AttackSettings:
        """:meth:`honest` three times: with the whole gradient through the regions, with the
        network's own factor on it, and without it.

        The gradient through the regions can mislead an attack; one without it is then stronger. A
        network is only as robust as against the strongest of them.
        """
        return replace(cls(gradient_scales=(1.0, None, 0.0)), **changes)

    @classmethod
    def of_mode(cls, mode: Mode, **changes: Any) -> AttackSettings:
        """:meth:`paper`, :meth:`honest` or :meth:`worst` by name.

        Raises:
            ValueError: the mode is unknown.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        made: AttackSettings = getattr(cls, mode)(**changes)
        return made

    @property
    def ways(self) -> int:
        """Number of complete attacks on each image: restarts times gradient factors."""
        return self.restarts * len(self.gradient_scales)

    def single_step(self) -> AttackSettings:
        """These settings as FGSM: one step of eps, starting at the image."""
        return replace(self, step=self.eps, steps=1, random_start=False, restarts=1)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
