"""Backbones: from a glimpse to its feature."""
