"""Scoring many images: a million through one engine, and runs that are killed."""
