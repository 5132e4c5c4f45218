"""Runs the service until it is told to stop."""

from __future__ import annotations

import math
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from .limits import Limits

_BACKLOG = 1024
_IDLE_SECONDS = 75


def serve(
    app: Starlette, host: str, port: int, limits: Limits, is_up: Callable[[str], None]
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, then finish what is in flight.

    Args:
        app: from :func:`.service.service`.
        host, port: where to listen; port 0 takes a free one.
        limits: of the app.
        is_up: called with the address once connections are accepted.

    Raises:
        OSError: the address cannot be used.
    """
    with listener(host, port) as opened:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{opened.getsockname()[1]}"
        server = HTTPServer(app, limits, lambda: is_up(address))
        with _signals_end_nothing_else():
            server.run(sockets=[opened])


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


class HTTPServer(uvicorn.Server):
    """uvicorn, configured for the service; calls ``is_up`` once it accepts connections."""

    def __init__(self, app: Starlette, limits: Limits, is_up: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            log_level="error",  # a warning for every malformed request would fill a disk
            access_log=False,
            server_header=False,
            lifespan="on",
            # longer than clients keep theirs, so that no request meets a connection that ends
            timeout_keep_alive=_IDLE_SECONDS,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=math.ceil(limits.seconds),
        )
        super().__init__(config)
        self._is_up = is_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._is_up()


@contextmanager
def _signals_end_nothing_else() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more; a clean end shall not look like a kill."""
    before = {each: signal.signal(each, _ignore) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _ignore(*_: object) -> None:
    pass
