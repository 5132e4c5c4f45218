"""Whether a glimpse's features depend on the glimpses beside it, in every runner.

python -m bench.company

Prints a table: 16 glimpses of noise alone and in batches of 2 to 16, on one and two threads.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from bench.engine_peers import NETWORKS, images, networks
from mgnet_fast import Engine
from mgnet_fast.engine.libraries.exported_backbone import example_glimpses
from mgnet_fast.threads import fixed_threads

_COUNT = 16
_SIZES = (2, 3, 4, 5, 8, 16)
_RUNNERS = {
    "eager": ("fp32",),
    "channels_last": ("fp32",),
    "packed": ("fp32", "bf16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32", "int8"),
}


@torch.inference_mode()
def largest_change(engine: Engine, glimpses: Tensor) -> float:
    """Of a feature in company from the same alone, relative to the largest."""
    layout = (
        torch.channels_last
        if engine.runner in ("channels_last", "packed")
        else torch.contiguous_format
    )
    dtype = torch.bfloat16 if (engine.runner, engine.precision) == ("packed", "bf16") else None
    backbone = engine._runner.model.backbone

    def features(some: Tensor) -> Tensor:
        found: Tensor = backbone(some.to(dtype).contiguous(memory_format=layout)).clone()
        return found

    alone = torch.cat([features(each) for each in glimpses.split(1)])
    off = 0.0
    for size in _SIZES:
        together = torch.cat([features(some) for some in glimpses.split(size)])
        off = max(off, float((together - alone).abs().max()))
    return off / float(alone.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.company", description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    chosen: list[str] = parser.parse_args().networks
    print("| runner | precision | " + " | ".join(NETWORKS[name] for name in chosen) + " |")
    print("|---" * (2 + len(chosen)) + "|")
    for runner, precisions in _RUNNERS.items():
        for precision in precisions:
            cells = [_cell(name, runner, precision) for name in chosen]
            print(f"| `{runner}` | {precision} | " + " | ".join(cells) + " |", flush=True)


def _cell(name: str, runner: str, precision: str) -> str:
    model, _ = networks(name)
    try:
        engine = Engine(
            model,
            runner=runner,
            precision=precision,
            slots=_COUNT,
            calibration=images(name, 2, seed=1) if precision == "int8" else None,
        )
    except ValueError:
        return "-"
    off = 0.0
    for threads in (1, 2):
        with fixed_threads(threads):
            off = max(off, largest_change(engine, example_glimpses(model, _COUNT)))
    return f"{off:.0e}" if off else "same bits"


if __name__ == "__main__":
    main()
