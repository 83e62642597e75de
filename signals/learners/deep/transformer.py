"""Transformer encoder (Vaswani et al. 2017; normalisation first, Xiong et al. 2020): the newest bar attends to those before it."""

import math

import torch
from torch import Tensor, nn

from signals.learners.deep.scaling import Scaling

HIDDEN = 32
HEADS = 4
LAYERS = 2
DROPOUT = 0.2


def positions(length: int, size: int) -> Tensor:
    """Sinusoidal encoding [length, size] of a bar's place in the window (Vaswani et al. 2017, section 3.5)."""
    place = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, size, 2, dtype=torch.float32) * (-math.log(10_000.0) / size))
    out = torch.zeros(length, size)
    out[:, 0::2], out[:, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
    return out


class TransformerNetwork(nn.Module):
    """[m, length, k] to log-odds [m]."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.scaling = Scaling(width)
        self.embed = nn.Linear(width, HIDDEN)
        self.register_buffer("places", positions(length, HIDDEN), persistent=False)
        layer = nn.TransformerEncoderLayer(HIDDEN, HEADS, 2 * HIDDEN, DROPOUT, activation="gelu", batch_first=True, norm_first=True)
        layer.self_attn.dropout = 0.0  # dropped out attention is several times slower on a CPU; the rest of the layer is dropped out
        self.encode = nn.TransformerEncoder(layer, LAYERS, norm=nn.LayerNorm(HIDDEN), enable_nested_tensor=False)
        self.answer = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.encode(self.embed(self.scaling(x)) + self.places)[:, -1]).squeeze(-1)
