"""Temporal fusion transformer, the blocks of Lim, Arik, Loeff and Pfister, "Temporal Fusion Transformers for interpretable multi-horizon time
series forecasting", International Journal of Forecasting 37(4), 2021. Numbers in brackets are the paper's equations.

All features are observed in the past and one question is asked of the newest bar, so the paper's static covariates, known future inputs and
quantile outputs have nothing to work on here and are left out; its other blocks are whole.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from signals.learners.deep.scaling import Scaling

HEAD_SIZE = 2
HEADS = 4
DROPOUT = 0.2


class GatedSkip(nn.Module):
    """LayerNorm(skip + GLU(x)): a gated linear unit (5) that can shut its block off, added to what came in."""

    def __init__(self, entering: int, size: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.gate = nn.Linear(entering, 2 * size)
        self.norm = nn.LayerNorm(size)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.norm(skip + functional.glu(self.gate(self.drop(x)), dim=-1))


class GatedResidual(nn.Module):
    """Gated residual network (2)-(4): a non-linear step that is taken only as far as it helps."""

    def __init__(self, entering: int, size: int, leaving: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(entering, size), nn.Linear(size, size)
        self.skip = nn.Identity() if entering == leaving else nn.Linear(entering, leaving)
        self.out = GatedSkip(size, leaving, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.second(functional.elu(self.first(x))), self.skip(x))


class EachResidual(nn.Module):
    """One gated residual network (2)-(4) for each of `width` variables, computed together: [..., width, size] in and out."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(size)

        def weights(leaving: int) -> tuple[nn.Parameter, nn.Parameter]:
            return nn.Parameter(torch.empty(width, size, leaving).uniform_(-bound, bound)), nn.Parameter(torch.zeros(width, leaving))

        self.first, self.first_bias = weights(size)
        self.second, self.second_bias = weights(size)
        self.gate, self.gate_bias = weights(2 * size)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(size)

    def forward(self, x: Tensor) -> Tensor:
        step = functional.elu(torch.einsum("...ks,kst->...kt", x, self.first) + self.first_bias)
        step = torch.einsum("...ks,kst->...kt", step, self.second) + self.second_bias
        gated = functional.glu(torch.einsum("...ks,kst->...kt", self.drop(step), self.gate) + self.gate_bias, dim=-1)
        return self.norm(x + gated)


class VariableSelection(nn.Module):
    """Variable selection network (6)-(8): each bar's features, weighted by how much they matter at that bar."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.empty(width, size).uniform_(-1.0, 1.0)), nn.Parameter(torch.zeros(width, size))
        self.each = EachResidual(width, size, dropout)
        self.weigh = GatedResidual(width * size, size, width, dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., width] to ([..., size], weights [..., width] that add up to 1)."""
        embedded = x[..., None] * self.scale + self.shift
        weight = torch.softmax(self.weigh(embedded.flatten(-2)), dim=-1)
        return torch.einsum("...k,...ks->...s", weight, self.each(embedded)), weight


class InterpretableAttention(nn.Module):
    """Interpretable multi-head attention (13)-(16): heads of their own queries and keys share the values, so that their weights can be averaged."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, size // heads
        self.query, self.key = nn.Linear(size, size), nn.Linear(size, size)
        self.value = nn.Linear(size, self.each)
        self.out = nn.Linear(self.each, size, bias=False)

    def forward(self, newest: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """What `newest` [m, size] finds in `states` [m, length, size], all of which it may see: ([m, size], weights [m, length])."""
        m, length, _ = states.shape
        query = self.query(newest).view(m, self.heads, 1, self.each)
        key = self.key(states).view(m, length, self.heads, self.each).transpose(1, 2)
        weight = torch.softmax((query @ key.transpose(2, 3)).squeeze(2) / math.sqrt(self.each), dim=-1).mean(dim=1)
        return self.out(torch.einsum("ml,mls->ms", weight, self.value(states))), weight


class FusionNetwork(nn.Module):
    """[m, length, k] to log-odds [m]."""

    def __init__(self, width: int, length: int, *, head_size: int = HEAD_SIZE, dropout: float = DROPOUT) -> None:
        super().__init__()
        size = HEADS * head_size
        self.scaling = Scaling(width)
        self.select = VariableSelection(width, size, dropout)
        self.memory = nn.LSTM(size, size, batch_first=True)
        self.after_memory = GatedSkip(size, size, dropout)
        self.enrich = GatedResidual(size, size, size, dropout)
        self.attend = InterpretableAttention(size, HEADS)
        self.after_attention = GatedSkip(size, size, dropout)
        self.refine = GatedResidual(size, size, size, dropout)
        self.after_all = GatedSkip(size, size, dropout)
        self.answer = nn.Linear(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        chosen, _ = self.select(self.scaling(x))
        states, _ = self.memory(chosen)
        local = self.after_memory(states, chosen)
        enriched = self.enrich(local)
        found, _ = self.attend(enriched[:, -1], enriched)
        decided = self.refine(self.after_attention(found, enriched[:, -1]))
        return self.answer(self.after_all(decided, local[:, -1])).squeeze(-1)
