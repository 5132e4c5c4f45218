"""Helpers that declare an option of a command in one line."""

from __future__ import annotations

from typing import Any

import typer


def option(metavar: str, help_text: str, *names: str, **settings: Any) -> Any:
    """An option with a value. Without ``names`` it has the parameter's name."""
    return typer.Option(*names, metavar=metavar, help=help_text, **settings)


def choice(help_text: str, *names: str, **settings: Any) -> Any:
    """An option with a ``Literal`` type, whose help lists the values."""
    return typer.Option(*names, help=help_text, **settings)


def switch(help_text: str, name: str, *others: str, **settings: Any) -> Any:
    """An option without a value."""
    return typer.Option(name, *others, help=help_text, **settings)
