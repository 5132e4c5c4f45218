"""Reads image files: whole, or only what is looked at."""
