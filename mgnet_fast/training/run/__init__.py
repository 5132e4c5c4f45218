"""A complete run: its data, folder, log and snapshots."""
