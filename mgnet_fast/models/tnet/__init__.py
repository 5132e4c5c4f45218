"""TNet: hard attention over scales (arXiv 2102.10212)."""
