"""``mgnet-fast env``: what this machine has and which backends can run."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import console


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show versions, devices and backends of this machine."""
    from ... import env as environment

    if as_json:
        console.print_json(environment.collect())
        return
    environment.main()
    console.print_next(
        console.output(), ("mgnet-fast demo", "see it work and measure it on this machine")
    )
