"""Scoring many images: units of work, parts of the output, resuming."""
