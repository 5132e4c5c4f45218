"""Benchmarks on the CPU, run by pytest."""
