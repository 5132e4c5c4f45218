"""Exported steps and the libraries that run them."""
