"""How all commands print: errors, tables, numbers, and what to do next."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def output() -> Console:
    """Standard output, made at each call so that redirection is respected.

    No markup: brackets in file names are printed as they are.
    """
    return Console(highlight=False, markup=False, emoji=False)


def print_error(message: str, hint: str | None = None) -> None:
    """Print one sentence on standard error, with a hint if there is one."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    errors.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        errors.print(Text(hint, style="dim"))


def print_warning(message: str) -> None:
    """Print a warning on standard error."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(message)


def print_next(console: Console, *commands: tuple[str, str]) -> None:
    """Print what to do next: commands, and what each does."""
    console.print()
    width = max(len(command) for command, _ in commands)
    for place, (command, purpose) in enumerate(commands):
        console.print(
            Text.assemble(
                ("next: " if place == 0 else "      ", "bold"),
                (command.ljust(width), "cyan"),
                ("  " + purpose if purpose else "", "dim"),
            ),
            soft_wrap=True,
        )


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2))


def new_table(title: str, caption: str | None = None) -> Table:
    """An empty table in the style of all commands."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )


def multiply_adds(count: int, unit: int) -> str:
    """A count in millions (M) or billions (G), exactly."""
    digits, name = {10**6: (6, "M"), 10**9: (9, "G")}[unit]
    return f"{count // unit}.{count % unit:0{digits}d} {name}"


def duration(seconds: float) -> str:
    """A time in a fitting unit, with three digits."""
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("us", 1e6)
    value = seconds * factor
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
