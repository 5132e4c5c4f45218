"""Everything that is checked and measured on a GPU, in one command."""
