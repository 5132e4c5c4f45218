"""What is exported: the whole loop, or one step of it."""
