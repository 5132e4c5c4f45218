"""Backbone arithmetic: packed, lower-precision and quantised convolutions."""
