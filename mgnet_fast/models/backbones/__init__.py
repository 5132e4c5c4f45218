"""Backbones, which map glimpses to features: this package's own, and timm's and torchvision's."""
