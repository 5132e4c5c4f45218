"""Triton kernels: math on memory, installed as ``mgnet_fast.kernels``. See docs/design.md.

``sampling``, ``options`` and ``range_map`` are the records of ``mgnet_fast.ops.sampling``, a layer
above; kernels read them without importing it.
"""
