"""The Open Inference Protocol v2 with its binary-data extension: bytes to arrays and back."""
