"""``mgnet-fast bench``: measurements on this machine."""

from __future__ import annotations

import typer

from .engine import bench_engine
from .networks import bench_networks

bench = typer.Typer(
    help="Measure speed on this machine.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench.command("engine")(bench_engine)
bench.command("networks")(bench_networks)
