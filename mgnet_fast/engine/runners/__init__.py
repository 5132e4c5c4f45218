"""What runs a step: one file a runner."""
