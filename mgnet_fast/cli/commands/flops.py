"""``mgnet-fast flops``: multiply-adds of any network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from .. import console
from ..model_choice import check_model_name
from ..options import shared as options
from ..options.option import choice, option

DEFAULT_MODELS = ("mgnet_toy", "mgnet_resnet18", "mgnet_resnet50")


Convention = Literal["paper", "table3", "cached"]
"""How multiply-adds are counted."""

MEANING = {
    "paper": "convolutions and linear layers; fusion runs again over all glimpses at each step",
    "table3": "the same with attention products, norms, average pooling and sampling",
    "cached": "as this package computes: keys and values once per glimpse, one query per step",
}


def flops(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Model names, such as mgnet_resnet50.",
            show_default=", ".join(DEFAULT_MODELS),
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        option(
            "N",
            "Side of the images in pixels.",
            min=1,
            show_default="toy 112, vgg 32, tnet as published, others 224",
        ),
    ] = None,
    glimpse_size: Annotated[
        int | None,
        option("N", "Side of a glimpse in pixels.", min=1, show_default="toy 28, others 96"),
    ] = None,
    num_glimpses: Annotated[
        int | None, options.num_glimpses("Largest T.", default="the model's")
    ] = None,
    num_classes: Annotated[
        int | None, option("N", "Number of classes.", min=1, show_default="toy 10, others 1000")
    ] = None,
    convention: Annotated[
        Convention,
        choice("Way of counting: the paper's tables 1, 2 and 4; its table 3; this package."),
    ] = "paper",
    as_json: options.AsJson = False,
) -> None:
    """Count multiply-adds after each glimpse.

    FF-Net, for comparison, is the same network looking once at the whole image.
    """
    names = models or list(DEFAULT_MODELS)
    for name in names:
        check_model_name(name, "MODEL")
    overrides = {
        "glimpse_size": glimpse_size,
        "num_glimpses": num_glimpses,
        "num_classes": num_classes,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    counts = [count_model(name, image_size, convention, given) for name in names]
    if as_json:
        console.print_json(counts)
        return
    screen = console.output()
    for entry in counts:
        screen.print(_table(entry))
    screen.print(f"convention {convention}: {MEANING[convention]}", style="dim", soft_wrap=True)
    console.print_next(screen, ("mgnet-fast demo", "the time saved on this machine"))


def count_model(
    name: str, image_size: int | None, convention: Convention, overrides: dict[str, Any]
) -> dict[str, Any]:
    """Multiply-adds of a model for T = 1 .. num_glimpses and of its twin without glimpses."""
    import torch

    from ...models import create_model
    from ...models.multiply_adds import count_multiply_adds
    from ...models.registry import family_and_backbone

    family, backbone = family_and_backbone(name)
    twin = family.twin(backbone, overrides)
    with torch.device("meta"):  # shapes are enough: no weights are made
        model = create_model(name, **overrides)
        full_model = create_model(twin.name, **twin.overrides)
    side = image_size or family.usual_image_size(backbone, model.config)
    full = count_multiply_adds(full_model, side, convention)
    glimpses = []
    if name != twin.name or twin.instead is not None:  # else it is its own twin
        for steps in range(1, model.config.num_glimpses + 1):
            cost = count_multiply_adds(model, side, convention, num_glimpses=steps)
            glimpses.append(
                {
                    "num_glimpses": steps,
                    "looks": sum(model.looks_within(steps)),
                    "multiply_adds": cost,
                    "share_of_ffnet": cost / full,
                }
            )
    return {
        "model": name,
        "num_classes": model.config.num_classes,
        "image_size": side,
        "glimpse_size": list(model.config.glimpse_shape(side)),
        "convention": convention,
        "ffnet": full,
        "glimpses": glimpses,
    }


def _table(entry: dict[str, Any]) -> Table:
    from ...models.registry import family_and_backbone

    family, backbone = family_and_backbone(entry["model"])
    twin = family.twin(backbone, {})
    side, (height, width) = entry["image_size"], entry["glimpse_size"]
    unit = 10**9 if entry["ffnet"] >= 10**9 else 10**6
    table = console.new_table(f"{entry['model']}, {entry['num_classes']} classes")
    table.add_column("looks at", min_width=30)
    table.add_column("multiply-adds", justify="right", min_width=16)
    table.add_column(f"of {twin.title}", justify="right")
    table.add_column("fewer", justify="right")
    table.add_row(
        f"{twin.title}: the image, {side}x{side}",
        console.multiply_adds(entry["ffnet"], unit),
        "100.0 %",
        "",
        end_section=True,
    )
    for row in entry["glimpses"]:
        looks, share = row["looks"], row["share_of_ffnet"]
        what = f"{looks} glimpse{'s' if looks > 1 else ''} of {height}x{width}"
        if twin.instead is not None:
            what = f"{twin.instead}, {height}x{width}"
        table.add_row(
            what,
            console.multiply_adds(row["multiply_adds"], unit),
            f"{100 * share:.1f} %",
            "" if twin.instead else f"{1 / share:.2f}x",
        )
    return table
