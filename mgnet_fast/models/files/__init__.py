"""Networks on disk: checkpoints, folders for Hugging Face's hub, files of the published code."""
