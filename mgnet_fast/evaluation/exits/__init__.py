"""Exit rules for a budget: thresholds, temperatures, and a rule that learns."""
