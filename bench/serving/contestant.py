"""One contestant: the service on one core, with its own way through the network.

python -m bench.serving.contestant KIND CASE --slots N --core N [--artefact FILE]
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import torch

from bench.serving.cases import CASES, as_images, leaving_by_shares
from bench.serving.whole_batches import engine_batches, onnx_batches
from mgnet_fast import Engine, Never
from mgnet_fast.serving.app import build_app
from mgnet_fast.serving.engine_thread import EngineThread
from mgnet_fast.serving.inference import Inference
from mgnet_fast.serving.limits import Limits
from mgnet_fast.serving.metrics import Metrics
from mgnet_fast.serving.served_model import ServedModel
from mgnet_fast.serving.server import serve

KINDS = {
    "exits": "slots with early exits",
    "batches": "whole batches, no exits",
    "onnxruntime": "whole batches in ONNX Runtime",
}
LIMITS = Limits(queue=4096, seconds=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--artefact", type=Path)
    options = parser.parse_args()
    if options.core >= 0:
        os.sched_setaffinity(0, {options.core})
    torch.set_num_threads(1)
    case = CASES[options.case]
    model = case.model()
    if options.kind == "onnxruntime":
        stream = partial(onnx_batches, options.artefact, options.slots)
    else:
        engine = Engine(model, slots=options.slots, runner="packed", exit=Never())
        if options.kind == "exits":
            images = as_images(case.pixels())
            engine = engine.with_exit(leaving_by_shares(engine, images, case.shares))
            stream = engine.open_stream
        else:
            stream = partial(engine_batches, engine)
    metrics = Metrics(options.slots, model.config.num_glimpses)
    inference = Inference(
        ServedModel("model", model), EngineThread(stream, metrics), options.slots, LIMITS, metrics
    )
    serve(build_app(inference), "127.0.0.1", 0, LIMITS, lambda address: print(address, flush=True))


if __name__ == "__main__":
    main()
