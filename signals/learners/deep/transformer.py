"""Transformer encoder (Vaswani et al. 2017; normalisation first, Xiong et al. 2020): the newest bar attends to those before it."""

import math

import torch
from torch import Tensor, nn

from signals.learners.deep.scaling import Scaling

HEAD_SIZE = 8
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

    def __init__(self, width: int, length: int, *, head_size: int = HEAD_SIZE, layers: int = LAYERS, dropout: float = DROPOUT) -> None:
        super().__init__()
        size = HEADS * head_size
        self.scaling = Scaling(width)
        self.embed = nn.Linear(width, size)
        self.register_buffer("places", positions(length, size), persistent=False)
        layer = nn.TransformerEncoderLayer(size, HEADS, 2 * size, dropout, activation="gelu", batch_first=True, norm_first=True)
        layer.self_attn.dropout = 0.0  # dropped out attention is several times slower on a CPU; the rest of the layer is dropped out
        self.encode = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(size), enable_nested_tensor=False)
        self.answer = nn.Linear(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.encode(self.embed(self.scaling(x)) + self.places)[:, -1]).squeeze(-1)
