"""The first step of every network: standardised features, scale and medians kept among its weights."""

import torch
from torch import Tensor, nn

CLIP = 8.0


class Scaling(nn.Module):
    """[m, length, k] in, the same out: (x - mean) / deviation of the training rows, what is not finite at the mean, at most CLIP away from it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("median", torch.zeros(width))

    def learn(self, rows: Tensor) -> None:
        """Take mean, deviation and median of rows [n, k]; a feature that never differs keeps a deviation of 1."""
        known = rows.double()
        deviation = known.std(dim=0, correction=0)
        self.mean = known.mean(dim=0).float()
        self.deviation = torch.where(deviation > 1e-12, deviation, 1.0).float()
        self.median = known.median(dim=0).values.float()

    def forward(self, x: Tensor) -> Tensor:
        scaled = (x - self.mean) / self.deviation
        return torch.nan_to_num(scaled, nan=0.0).clamp(-CLIP, CLIP)
