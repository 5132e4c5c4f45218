"""Implementations of a step, one file each."""
