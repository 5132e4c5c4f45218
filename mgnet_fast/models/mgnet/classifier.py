"""A linear classifier, as the published state dict names it."""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """One linear layer ``fc``: Kaiming's normal distribution (fan in), zero biases."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, num_classes)
        nn.init.kaiming_normal_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of states or features [B, dim]."""
        logits: Tensor = self.fc(x)
        return logits
