"""How far an exported network may differ from the eager float32 model, by precision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """The largest allowed deviations over a sample.

    Attributes:
        logit: of any logit, relative to the largest logit.
        region: of s, x or y of any region.
        label: share of images whose label may differ.
    """

    logit: float
    region: float
    label: float


# float32 is limited by GridSample's float32 coordinates. In lower precisions a rounded region moves
# the glimpse, so single images differ a lot and still get the right label. There the labels count,
# and the other two bounds detect broken programs.
TOLERANCES = {
    "fp32": Tolerances(logit=1e-3, region=1e-4, label=0.0),
    "fp16": Tolerances(logit=5e-2, region=1e-2, label=0.005),
    "int8": Tolerances(logit=0.75, region=1.0, label=0.005),
}
# Half a per cent needs at least that many images.
SAMPLE_IMAGES = {"fp32": 64, "fp16": 256, "int8": 512}
