"""The inference ops that follow the backbone: fusion, heads and next region."""
