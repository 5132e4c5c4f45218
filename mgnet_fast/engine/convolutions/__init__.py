"""What computes a backbone: its convolutions, packed, lowered or quantised."""
