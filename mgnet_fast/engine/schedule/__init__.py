"""Scheduling of images: slots, places, streams."""
