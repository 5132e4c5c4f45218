"""How far an exported network may be from the eager float32 model, by precision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """What the largest deviations over a sample may be.

    Attributes:
        logit: of any logit, in units of the largest logit.
        region: of s, x or y of any region.
        label: share of the images whose label may differ.
    """

    logit: float
    region: float
    label: float


# float32 is bounded by GridSample's float32 coordinates. In lower precisions a glimpse lies
# elsewhere as soon as a region does, so single images are far off that are right all the same:
# there the labels are what counts, and the other two bounds find what is broken.
TOLERANCES = {
    "fp32": Tolerances(logit=1e-3, region=1e-4, label=0.0),
    "fp16": Tolerances(logit=5e-2, region=1e-2, label=0.005),
    "int8": Tolerances(logit=0.75, region=1.0, label=0.005),
}
# Half a per cent can be seen of no less.
SAMPLE_IMAGES = {"fp32": 64, "fp16": 256, "int8": 512}
