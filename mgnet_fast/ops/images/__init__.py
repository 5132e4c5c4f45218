"""Images of different sizes in one call of the ops."""
