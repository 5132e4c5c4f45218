"""What a client is told when a request cannot be answered."""

from __future__ import annotations

BAD_REQUEST = 400
NOT_FOUND = 404
TOO_SLOW = 408  # in sending the request
TOO_LARGE = 413
UNSUPPORTED = 415
TOO_MANY = 429
VANISHED = 499  # only counted: nobody is there to read it
INTERNAL = 500
TIMED_OUT = 504


class RequestError(Exception):
    """A request that is answered by a sentence.

    Attributes:
        status: of the response.
        headers: of the response.
    """

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}
