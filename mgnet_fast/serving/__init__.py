"""The service: Open Inference Protocol v2 over HTTP in front of one engine, and a page."""
