"""Learn To Pay Attention: a CNN that classifies by attention over its own maps."""
