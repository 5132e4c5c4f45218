"""Kernels of antialiased glimpses."""
