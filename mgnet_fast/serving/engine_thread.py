"""The thread that steps the engine, and the line of images before it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..engine.schedule.open_stream import Failed, Left
from .errors import BAD_REQUEST, INTERNAL, RequestError
from .images import Image, close
from .metrics import Metrics

_log = logging.getLogger("mgnet_fast.serving")

_STOPPED = "the engine has stopped"


class Stream(Protocol):
    """What :class:`~mgnet_fast.engine.schedule.open_stream.OpenStream` is to this thread."""

    @property
    def free(self) -> int: ...

    @property
    def in_flight(self) -> int: ...

    def enter(self, image: Any, *, every_answer: bool = False) -> int: ...

    def drop(self, number: int) -> None: ...

    def step(self) -> list[Left | Failed]: ...


class Job:
    """The images of one request, on their way.

    Attributes:
        done: the results in the order of the images, or a :class:`RequestError`.
    """

    def __init__(self, images: Sequence[Image], every_answer: bool) -> None:
        self.images, self.every_answer = images, every_answer
        self.done: asyncio.Future[list[Left]] = asyncio.get_running_loop().create_future()
        self.arrived = time.perf_counter()
        self.results: list[Left | None] = [None] * len(images)
        self.missing = len(images)
        self.error: RequestError | None = None

    def resolve(self) -> None:
        """Tell the request; in its event loop."""
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result([each for each in self.results if each is not None])


class EngineThread:
    """Lets images enter free slots in the order of their arrival, and steps while there are any.

    Args:
        open_stream: opens the stream of the engine.
        metrics: counts what happens.
    """

    def __init__(
        self, open_stream: Callable[[], AbstractContextManager[Stream]], metrics: Metrics
    ) -> None:
        self._open_stream = open_stream
        self._metrics = metrics
        self._changed = threading.Condition()
        self._line: deque[tuple[Job, int]] = deque()  # images without a slot
        self._given_up: list[Job] = []
        self._ending = False
        self._is_over = False
        self._flying: dict[int, tuple[Job, int]] = {}  # by number in the stream
        self._thread = threading.Thread(target=self._run, name="mgnet-fast-engine", daemon=True)
        metrics.watch("mgnet_images_waiting", "Images without a slot.", lambda: len(self._line))
        metrics.watch("mgnet_slots_in_use", "Slots that hold an image.", lambda: len(self._flying))

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the images that are there, then end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether images are processed."""
        return self._thread.is_alive() and not (self._ending or self._is_over)

    def submit(self, job: Job) -> None:
        """Line up the images of a job; the thread resolves it.

        Raises:
            RequestError: the thread has ended.
        """
        with self._changed:
            if self._is_over:
                raise RequestError(INTERNAL, _STOPPED)
            self._line.extend((job, number) for number in range(len(job.images)))
            self._changed.notify()

    def give_up(self, job: Job) -> None:
        """Free the places of a job that nobody waits for any more."""
        with self._changed:
            if not self._is_over:
                self._given_up.append(job)
                self._changed.notify()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            with self._changed:
                self._is_over = True
                jobs = {id(job): job for job, _ in (*self._line, *self._flying.values())}
                self._line.clear()
                self._flying.clear()
            for job in jobs.values():
                job.error = job.error or RequestError(INTERNAL, _STOPPED)
            _resolve([*jobs.values()])

    def _serve(self) -> None:
        with self._open_stream() as stream:
            while self._wait_for_work(stream):
                finished: list[Job] = []
                try:
                    self._fill(stream, finished)
                    if stream.in_flight:
                        self._step(stream, finished)
                except Exception:  # an error of this package; the service goes on
                    _log.exception("the engine failed")
                    self._fail_all(stream, finished)
                _resolve(finished)

    def _wait_for_work(self, stream: Stream) -> bool:
        """Wait until there is something to do; False when all is done and nothing will come."""
        with self._changed:
            self._forget_given_up(stream)
            while not (self._line or stream.in_flight):
                if self._ending:
                    return False
                self._changed.wait()
                self._forget_given_up(stream)
        return True

    def _forget_given_up(self, stream: Stream) -> None:
        if not self._given_up:
            return
        jobs = set(map(id, self._given_up))
        waiting = [each for each in self._line if id(each[0]) in jobs]
        self._line = deque(each for each in self._line if id(each[0]) not in jobs)
        for job, number in waiting:
            close([job.images[number]])
        flying = [number for number, (job, _) in self._flying.items() if id(job) in jobs]
        for number in flying:
            stream.drop(number)
            del self._flying[number]
        self._metrics.dropped.inc(len(waiting) + len(flying))
        self._given_up.clear()

    def _fill(self, stream: Stream, finished: list[Job]) -> None:
        for _ in range(stream.free):
            with self._changed:
                if not self._line:
                    return
                job, which = self._line.popleft()
            if job.error is not None:
                continue
            try:
                number = stream.enter(job.images[which], every_answer=job.every_answer)
            except (TypeError, ValueError) as error:
                self._fail(job, RequestError(BAD_REQUEST, f"image {which}: {error}"), finished)
                continue
            self._flying[number] = job, which
            self._metrics.waiting_seconds.observe(time.perf_counter() - job.arrived)

    def _step(self, stream: Stream, finished: list[Job]) -> None:
        self._metrics.steps.inc()
        self._metrics.step_images.inc(stream.in_flight)
        all_left = stream.step()
        errors = {id(left.error): left.error for left in all_left if isinstance(left, Failed)}
        for error in errors.values():  # one for all images of a step
            _log.error("a step failed", exc_info=error)
        for left in all_left:
            job, which = self._flying.pop(left.number)
            if isinstance(left, Failed):
                self._fail(
                    job, RequestError(INTERNAL, f"the network failed: {left.error}"), finished
                )
                continue
            self._metrics.glimpses.observe(left.prediction.glimpses)
            job.results[which] = left
            job.missing -= 1
            if not job.missing:
                finished.append(job)

    def _fail(self, job: Job, error: RequestError, finished: list[Job]) -> None:
        """End a job; its other images leave without an answer."""
        if job.error is None:
            job.error = error
            finished.append(job)
            with self._changed:
                self._given_up.append(job)

    def _fail_all(self, stream: Stream, finished: list[Job]) -> None:
        error = RequestError(INTERNAL, "the engine failed")
        for job in {id(job): job for job, _ in self._flying.values()}.values():
            self._fail(job, error, finished)


def _resolve(jobs: list[Job]) -> None:
    """Tell the requests, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.done.get_loop(), []).append(job)
    for loop, those in by_loop.items():
        loop.call_soon_threadsafe(_resolve_here, those)


def _resolve_here(jobs: list[Job]) -> None:
    for job in jobs:
        job.resolve()
