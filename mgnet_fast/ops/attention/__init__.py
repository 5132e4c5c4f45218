"""Attention over the positions of a map."""
