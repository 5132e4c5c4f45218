"""``mgnet-fast attack``: accuracy under PGD or FGSM after each glimpse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .. import console
from ..model_choice import network_title
from ..options import shared as options
from ..options.option import option
from ..options.scenes import fixed_scenes
from ..waiting import waiting_bar

if TYPE_CHECKING:
    from rich.table import Table

    from ...evaluation import AttackSettings, Robustness

SHOWN_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
MEANINGS = {
    "paper": "normalised space, no clamp, no random start, the network's own gradient factor",
    "honest": "pixels in [0, 1], random start, gradient factor 1",
    "worst": "as honest, but the worst of the gradient factors 1, the network's own and 0",
}


ModeChoice = Literal["paper", "honest", "worst", "all"]
"""The attack: as published, honest, the worst of several, or all three."""

Method = Literal["pgd", "fgsm"]
"""The method of the attack."""


def attack(
    former: options.FormerCheckpoints = None,
    checkpoints: options.Checkpoints = None,
    mode: Annotated[ModeChoice, option("NAME", "paper, honest, worst or all.")] = "all",
    method: Annotated[Method, option("NAME", "pgd or fgsm.")] = "pgd",
    eps: Annotated[float, option("X", "Largest change of a pixel, in the mode's units.", min=0)] = 4
    / 255,
    step: Annotated[
        float | None, option("X", "Size of one step.", min=0, show_default="eps / 4")
    ] = None,
    steps: Annotated[int, option("N", "Number of PGD steps.", min=1)] = 10,
    restarts: Annotated[
        int, option("N", "Number of random starts (not in paper mode).", min=1)
    ] = 1,
    seed: Annotated[int, option("N", "Seed of the random starts.", min=0)] = 0,
    images: options.MostImages = None,
    data: options.TestDigits = None,
    dataset: options.DatasetName = "translated-mnist",
    noise_std: options.NoiseStd = None,
    rows: Annotated[
        Path | None, option("DIR", "Save finished batches here. The same command then resumes.")
    ] = None,
    plot: options.Plot = None,
    batch_size: Annotated[int, option("N", "Scenes per batch.", min=1)] = 100,
    threads: options.Threads = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Attack networks by FGSM or PGD and show their accuracy.

    eps and step are in units of the pixel range [0, 1]. In paper mode they are in standard
    deviations, as in the published code.
    """
    from ...evaluation import evaluate_attack
    from ...evaluation.accuracy import check_fit
    from ...models.files.checkpoints import load_checkpoint
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    modes = [m for m in MEANINGS if mode in ("all", m)]
    attacks = {name: _settings(name, method, eps, step, steps, restarts, seed) for name in modes}
    scenes = fixed_scenes(data, dataset, noise_std)
    if images is not None and images > len(scenes):
        raise typer.BadParameter(
            f"there are {len(scenes)} scenes, got {images}", param_hint="--images"
        )
    place = device_for(device, Workers())
    networks = [
        (path, load_checkpoint(path).to(place)) for path in options.networks(checkpoints, former)
    ]
    for _, model in networks:
        check_fit(model, scenes)  # all of them before the first one runs
    if rows is not None:
        rows.mkdir(parents=True, exist_ok=True)

    count = images or len(scenes)
    found: list[tuple[Path, str, Robustness]] = []
    planned = [
        (number, path, model, name, settings)
        for number, (path, model) in enumerate(networks, start=1)
        for name, settings in attacks.items()
        # Without a factor to vary, the worst attack is the honest one.
        if not (mode == "all" and name == "worst" and model.localization is None)
    ]
    total = sum(settings.ways for *_, settings in planned) * count
    with fixed_threads(threads), waiting_bar(total) as show:
        before = 0
        for number, path, model, name, settings in planned:
            file = rows / f"{number}-{path.stem}-{name}-{method}.jsonl" if rows else None
            result = evaluate_attack(
                model,
                scenes,
                settings,
                count=count,
                batch_size=batch_size,
                rows=file,
                on_batch=_report(show, f"{path.name}, {name}", before, settings.ways),
            )
            found.append((path, name, result))
            before += settings.ways * count
    if plot is not None:
        _draw(
            found,
            plot,
            f"Accuracy under {method.upper()}, {count:,} scenes of {dataset}",
        )
    if as_json:
        console.print_json(
            [
                {"checkpoint": str(path), "mode": name, "method": method, **result.to_dict()}
                for path, name, result in found
            ]
        )
        return
    screen = console.output()
    for path, name, result in found:
        noise = f", noise {scenes.noise_std:g}" if scenes.noise_std else ""
        screen.print(_table(f"{path.name}, {method.upper()}, {name} mode{noise}", name, result))
    if plot is not None:
        screen.print(f"curves: {plot}", soft_wrap=True)
    else:
        console.print_next(
            screen, ("mgnet-fast attack --plot FILE.png", "draw these numbers as curves")
        )


def _report(
    show: Callable[[str, int], None], what: str, before: int, ways: int
) -> Callable[[int], None]:
    """Return a callback that reports finished scenes, counted once per variant of the attack."""
    show(what, before)
    return lambda done: show(what, before + ways * done)


def _settings(
    mode: str,
    method: Method,
    eps: float,
    step: float | None,
    steps: int,
    restarts: int,
    seed: int,
) -> AttackSettings:
    from ...evaluation import AttackSettings

    length = eps / 4 if step is None else step
    changes = {"eps": eps, "step": length, "steps": steps, "seed": seed}
    if mode != "paper" and method == "pgd":
        changes["restarts"] = restarts
    settings = AttackSettings.of_mode(mode, **changes)  # type: ignore[arg-type]
    return settings.single_step() if method == "fgsm" else settings


def _table(title: str, mode: str, result: Robustness) -> Table:
    """One row per number of steps: accuracy after each glimpse, and an interval for the last."""
    steps = result.settings.steps
    settings = result.settings
    size = f"eps {settings.eps:.4g}, step {settings.step:.4g}"
    table = console.new_table(title, caption=f"{size}: {MEANINGS[mode]}. {result.count:,} scenes")
    table.add_column("steps", justify="right")
    glimpses = len(result.clean)
    for glimpse in range(glimpses):
        table.add_column(f"T = {glimpse + 1}", justify="right", min_width=8)
    table.add_column(f"95 % interval, T = {glimpses}", justify="right")
    for row in sorted({step for step in SHOWN_STEPS if step <= steps} | {steps}):
        low, high = result.interval(row)
        shares = [f"{100 * result.accuracy(row, t):.1f} %" for t in range(glimpses)]
        table.add_row(str(row), *shares, f"{100 * low:.1f} to {100 * high:.1f} %")
    return table


def _draw(found: list[tuple[Path, str, Robustness]], path: Path, title: str) -> None:
    from ...evaluation.curves import Curve, Panel, draw_curves

    curves = [
        Curve(
            f"{network_title(file)}, {mode} mode, eps {result.settings.eps:.3g}",
            range(len(result.by_steps)),
            [result.accuracy(step) for step in range(len(result.by_steps))],
            [result.interval(step) for step in range(len(result.by_steps))],
            dashed=mode == "paper",
        )
        for file, mode, result in found
    ]
    draw_curves([Panel("steps (0: no attack)", curves, counts=True)], path, title)
