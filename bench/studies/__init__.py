"""Studies whose findings are in the docs."""
