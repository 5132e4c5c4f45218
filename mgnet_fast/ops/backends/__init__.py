"""The implementations of the ops, and the choice among them."""
