"""All checks and measurements on a GPU, in one command."""
