"""The page at ``/``: drop an image and see where the network looks."""

from __future__ import annotations

import json
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..served_model import ServedModel

_TYPES = {"index.html": "text/html", "looks.js": "text/javascript", "style.css": "text/css"}
_HEADERS = {
    # nothing from elsewhere
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
_MODEL = "{}"  # stands in index.html for what the script must know


def page_routes(model: ServedModel) -> list[Route]:
    """The page's files, with the names of model and classes in them."""
    return [_route(name, model) for name in _TYPES]


def _route(name: str, model: ServedModel) -> Route:
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    if name == "index.html":
        facts = json.dumps({"name": model.name, "classes": model.classes})
        text = text.replace(_MODEL, facts.replace("<", "\\u003c"))
    content = text.encode()

    async def send(_: Request) -> Response:
        return Response(content, media_type=_TYPES[name], headers=_HEADERS)

    return Route("/" if name == "index.html" else f"/{name}", send)
