"""Pictures of where a network looked: a series of glimpses, and an HTML report."""

from .boxes import Box, region_box
from .looks import Look, look_at
from .overview import draw_overview
from .report import write_report
from .series import draw_glimpses

__all__ = ["Box", "Look", "draw_glimpses", "draw_overview", "look_at", "region_box", "write_report"]
