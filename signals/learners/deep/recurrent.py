"""LSTM (Hochreiter and Schmidhuber 1997): its state after the newest bar answers."""

from torch import Tensor, nn

from signals.learners.deep.scaling import Scaling

HIDDEN = 32
DROPOUT = 0.2


class RecurrentNetwork(nn.Module):
    """[m, length, k] to log-odds [m]."""

    def __init__(self, width: int, length: int, *, hidden: int = HIDDEN, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.scaling = Scaling(width)
        self.embed = nn.Linear(width, hidden)
        self.memory = nn.LSTM(hidden, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.answer = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.memory(self.drop(self.embed(self.scaling(x))))
        return self.answer(self.drop(states[:, -1])).squeeze(-1)
