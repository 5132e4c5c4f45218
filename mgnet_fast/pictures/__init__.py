"""Pictures of where a network looked: glimpses, heat maps of attention, and an HTML report."""

from .boxes import Box, region_box
from .heat import draw_attention, heat_over
from .looks import Look, look_at
from .overview import draw_overview
from .report import write_report
from .series import draw_glimpses

__all__ = [
    "Box",
    "Look",
    "draw_attention",
    "draw_glimpses",
    "draw_overview",
    "heat_over",
    "look_at",
    "region_box",
    "write_report",
]
