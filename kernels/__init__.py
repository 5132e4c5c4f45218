"""Triton kernels: math on memory, installed as ``mgnet_fast.kernels``. See docs/design.md."""
