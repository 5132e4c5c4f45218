"""One request for inference, from its body to its answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..data.reading.file_image import FileImage
from ..engine.schedule.open_stream import Left
from .answers import output_tensors
from .body import read_body
from .engine_thread import EngineThread, Job
from .errors import BAD_REQUEST, TIMED_OUT, VANISHED, RequestError
from .images import Image, images_of, read_files, the_input
from .limits import Limits, Room, Share
from .metrics import Metrics
from .protocol.request import HEADER_LENGTH, Asked, read_request
from .protocol.response import write_response
from .protocol.tensors import Tensor
from .served_model import EVERY_ANSWER, FILES, VERSION, ServedModel


class Inference:
    """Answers requests.

    Args:
        model: what is served.
        engine: the thread that runs it.
        slots: of the engine.
        limits: what is taken on.
        metrics: counts what happens.
        decoders: threads that decode image files.
    """

    def __init__(
        self,
        model: ServedModel,
        engine: EngineThread,
        slots: int,
        limits: Limits,
        metrics: Metrics,
        decoders: int = 1,
    ) -> None:
        self.model, self.engine, self.limits, self.metrics = model, engine, limits, metrics
        self.room = Room(slots + limits.queue, limits.queue_bytes)
        self._decoders = ThreadPoolExecutor(decoders, "mgnet-fast-decoder")
        metrics.watch("mgnet_images_accepted", "Not yet answered.", lambda: self.room.images)
        metrics.watch("mgnet_bytes_accepted", "Of these.", lambda: self.room.num_bytes)

    async def answer(self, request: Request) -> Response:
        """The response to one request."""
        start = time.perf_counter()
        try:
            with self.room.share() as share:
                response = await self._results(request, share)
        except RequestError as error:
            response = error_response(error)
        self.metrics.requests.labels(str(response.status_code)).inc()
        self.metrics.request_seconds.observe(time.perf_counter() - start)
        return response

    def close(self) -> None:
        """Finish the images that are there."""
        self.engine.stop()
        self._decoders.shutdown()

    async def _results(self, request: Request, share: Share) -> Response:
        body = await read_body(request, self.limits, share)
        header_length = request.headers.get(HEADER_LENGTH)
        asked = read_request(body, header_length, FILES, self.model.output_names)
        seconds = min(self.limits.seconds, asked.seconds or math.inf)
        try:
            async with asyncio.timeout(seconds):
                images = await self._images(the_input(asked.inputs, self.model), share)
                results = await self._through_engine(request, images, asked)
        except TimeoutError:
            raise RequestError(TIMED_OUT, f"no answer within {seconds:g} seconds") from None
        _check_files(images)
        tensors = output_tensors(self.model, results, asked.outputs)
        content, headers = write_response(self.model.name, VERSION, asked, tensors)
        return Response(content, headers=headers)

    async def _images(self, given: Tensor, share: Share) -> Sequence[Image]:
        count = given.shape[0]
        if count > self.limits.queue:
            raise RequestError(
                BAD_REQUEST, f"a request may have {self.limits.queue} images, got {count}"
            )
        share.add(images=count)
        if given.name != FILES:
            return images_of(given, self.model, self.limits.pixels)
        read = partial(read_files, given, self.model, self.limits.pixels, share)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, read)

    async def _through_engine(
        self, request: Request, images: Sequence[Image], asked: Asked
    ) -> list[Left]:
        job = Job(images, EVERY_ANSWER in asked.outputs)
        gone = asyncio.create_task(_until_gone(request))
        gone.add_done_callback(lambda _: job.done.cancel())
        try:
            self.engine.submit(job)
            return await job.done
        except asyncio.CancelledError:
            self.engine.give_up(job)
            if gone.done():
                raise RequestError(VANISHED, "the client has gone") from None
            raise
        finally:
            gone.cancel()


def error_response(error: RequestError) -> Response:
    """The protocol's form of an error."""
    return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check_files(images: Sequence[Image]) -> None:
    for number, image in enumerate(images):
        if isinstance(image, FileImage) and image.error is not None:
            raise RequestError(
                BAD_REQUEST, f"element {number} of input {FILES!r} is damaged: {image.error}"
            )
