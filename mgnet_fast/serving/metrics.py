"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The numbers of one service.

    Slot use is ``rate(mgnet_step_images_total) / rate(mgnet_steps_total) / mgnet_slots``.

    Args:
        slots: of the engine.
        glimpses: the most that an image takes.
    """

    def __init__(self, slots: int, glimpses: int) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "mgnet_requests", "Requests for inference by status.", ["status"], registry=registry
        )
        self.request_seconds = Histogram(
            "mgnet_request_seconds",
            "From the first byte of a request to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting_seconds = Histogram(
            "mgnet_waiting_seconds",
            "From when an image is decoded until it has a slot.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.glimpses = Histogram(
            "mgnet_glimpses_per_image",
            "Glimpses of images that left.",
            buckets=tuple(range(1, glimpses + 1)),
            registry=registry,
        )
        self.dropped = Counter(
            "mgnet_images_dropped",
            "Images that nobody waited for any more.",
            registry=registry,
        )
        self.steps = Counter("mgnet_steps", "Steps of the engine.", registry=registry)
        self.step_images = Counter(
            "mgnet_step_images", "Images in slots, summed over steps.", registry=registry
        )
        Gauge("mgnet_slots", "Slots of the engine.", registry=registry).set(slots)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a number that is read when the metrics are."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
