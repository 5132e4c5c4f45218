"""What computes the ops, and which of it runs where."""
