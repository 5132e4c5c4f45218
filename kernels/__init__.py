"""Triton kernels: math on memory, installed as ``mgnet_fast.kernels``. See docs/design.md.

What the functions here call ``sampling``, ``options`` and ``range_map`` are the records of
``mgnet_fast.ops.sampling``, a floor above, which kernels read and do not import.
"""
