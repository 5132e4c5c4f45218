"""The ops of a step behind the backbone."""
