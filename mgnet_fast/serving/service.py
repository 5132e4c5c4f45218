"""The parts of the service put together."""

from __future__ import annotations

import torch
from starlette.applications import Starlette

from ..engine import Engine
from ..models.network import has_own_glimpse_size
from .app import build_app
from .engine_thread import EngineThread
from .inference import Inference
from .limits import Limits
from .metrics import Metrics
from .served_model import ServedModel

_WARM_UP_SIDE = 64


def service(
    model: ServedModel, engine: Engine, limits: Limits | None = None, decoders: int = 1
) -> Starlette:
    """The service as an ASGI application, with an engine that has looked at one image already.

    Args:
        model: what is served: the network of ``engine``, and its names.
        engine: runs it.
        limits: what the service takes on.
        decoders: threads that decode image files.

    Raises:
        ValueError: the engine's runner cannot be fed image by image.
    """
    with engine.open_stream():
        pass  # refuses such a runner now
    if has_own_glimpse_size(engine.model.config):
        shape = (1, model.channels, _WARM_UP_SIDE, _WARM_UP_SIDE)
        engine.predict(torch.zeros(shape, dtype=torch.uint8))
    metrics = Metrics(engine.slots, engine.model.config.num_glimpses)
    thread = EngineThread(engine.open_stream, metrics)
    return build_app(Inference(model, thread, engine.slots, limits or Limits(), metrics, decoders))
