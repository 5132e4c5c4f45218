"""``mgnet-fast env``: versions, devices and backends."""

from __future__ import annotations

from typing import Annotated

from .. import console
from ..options.option import switch


def env(
    as_json: Annotated[bool, switch("Print JSON instead of text.", "--json")] = False,
) -> None:
    """Show versions, devices and backends of this machine."""
    from ... import env as environment

    if as_json:
        console.print_json(environment.collect())
        return
    environment.main()
    console.print_next(console.output(), ("mgnet-fast demo", "run the demo"))
