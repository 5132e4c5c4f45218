"""Receives the body of a request."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .errors import TOO_LARGE, TOO_SLOW, UNSUPPORTED, VANISHED, RequestError
from .limits import Limits, Share


async def read_body(request: Request, limits: Limits, share: Share) -> bytearray:
    """The body. The rest of one that is refused is received and discarded, because many clients
    read the answer only after they have sent everything.

    Raises:
        RequestError: it is too large, takes too long, is compressed, or there is no room for it.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(UNSUPPORTED, f"bodies must not be compressed, got {encoding!r}")
    refused: RequestError | None = None
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limits.body_bytes:
        refused = _too_large(limits)
        if "expect" in request.headers:  # the client waits before it sends
            raise refused
    body = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                if refused is not None:
                    continue
                if len(body) + len(chunk) > limits.body_bytes:
                    refused = _too_large(limits)
                    continue
                try:
                    share.add(num_bytes=len(chunk))
                except RequestError as error:
                    refused = error
                    continue
                body += chunk
    except TimeoutError:
        raise RequestError(
            TOO_SLOW, f"the request did not arrive within {limits.seconds:g} seconds"
        ) from None
    except ClientDisconnect:
        raise RequestError(VANISHED, "the client has gone") from None
    if refused is not None:
        raise refused
    return body


def _too_large(limits: Limits) -> RequestError:
    return RequestError(TOO_LARGE, f"a body may have {limits.body_bytes:,} bytes")
