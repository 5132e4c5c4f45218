"""The service under load: ``python -m bench.serving``, ``python -m bench.serving.endurance``."""
