"""Backbones run by libraries made for inference, from the network in memory."""
