"""What the paper shows, made again: plans of runs, their logs, tables and curves."""
