"""The addresses of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from .errors import INTERNAL, NOT_FOUND, RequestError
from .inference import Inference, error_response
from .page import page_routes
from .served_model import VERSION

SERVER = "mgnet_fast"
EXTENSIONS = ["binary_tensor_data"]
NOT_READY = 503


def build_app(inference: Inference) -> Starlette:
    """The service as an ASGI application; its lifespan starts and ends the engine's thread."""
    model, engine, metrics = inference.model, inference.engine, inference.metrics

    async def server(_: Request) -> Response:
        return JSONResponse({"name": SERVER, "version": __version__, "extensions": EXTENSIONS})

    async def live(_: Request) -> Response:
        return JSONResponse({"live": engine.is_alive}, 200 if engine.is_alive else NOT_READY)

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": engine.is_alive}, 200 if engine.is_alive else NOT_READY)

    async def model_ready(request: Request) -> Response:
        _check_model(request)
        return await ready(request)

    async def metadata(request: Request) -> Response:
        _check_model(request)
        return JSONResponse(model.metadata())

    async def infer(request: Request) -> Response:
        _check_model(request)
        return await inference.answer(request)

    async def numbers(_: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    def _check_model(request: Request) -> None:
        name, version = request.path_params["name"], request.path_params.get("version", VERSION)
        if (name, version) != (model.name, VERSION):
            raise RequestError(
                NOT_FOUND,
                f"there is no model {name!r} in version {version!r}, only {model.name!r} in "
                f"version {VERSION!r}",
            )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield
        await run_in_threadpool(inference.close)

    routes = []  # the first one that fits answers, so inference comes first
    for address in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(f"{address}/infer", infer, methods=["POST"]),
            Route(address, metadata),
            Route(f"{address}/ready", model_ready),
        ]
    routes += [
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Route("/metrics", numbers),
        *page_routes(model),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            RequestError: _on_request_error,
            HTTPException: _on_http_exception,
            Exception: _on_error,
        },
    )


async def _on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"{error.detail}: {request.method} {request.url.path}"
    return error_response(RequestError(error.status_code, sentence, dict(error.headers or {})))


async def _on_error(_: Request, error: Exception) -> Response:
    return error_response(RequestError(INTERNAL, "the service failed; its log says why"))
