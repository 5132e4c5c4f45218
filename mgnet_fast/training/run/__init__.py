"""A run: its data, its folder, its log, its snapshots."""
