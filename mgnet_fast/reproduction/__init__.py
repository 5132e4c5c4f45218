"""Reproduces the paper's results: plans of runs, their logs, tables and curves."""
