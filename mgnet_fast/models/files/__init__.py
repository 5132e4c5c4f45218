"""Networks on disk: checkpoints, folders, published files."""
