"""Fitting a network to windows: AdamW on the weighted log loss, passes over the data until the validation rows gain nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from signals.ensemble import log_loss
from signals.ports import CHECKPOINT
from signals.sequences import Windows

Labels = NDArray[np.int8]
Weights = NDArray[np.float64]
Validation = tuple[Windows, Labels]
LARGEST_BATCH, SMALLEST_BATCH, STEPS = 256, 16, 32
"""Samples of one step: as many as make STEPS steps of a pass, within these bounds."""
ASKED = 512
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
LARGEST_STEP = 1.0
MOST_ROUNDS = 30
LONGEST_PATIENCE = 5
_one_at_a_time = Lock()
"""PyTorch's random numbers and its deterministic mode belong to the process."""


class Budget(NamedTuple):
    """Passes over the data at most, passes without gain, the seed, and AdamW's steps."""

    rounds: int
    patience: int
    seed: int
    learning_rate: float = LEARNING_RATE
    weight_decay: float = WEIGHT_DECAY


def device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    build: Callable[[], nn.Module], length: int, x: Windows, y: Labels, weight: Weights, valid: Validation | None, budget: Budget
) -> tuple[nn.Module, int]:
    """A fitted network on the CPU, and the passes it kept: the best on `valid` when given, else all."""
    rounds, patience = min(budget.rounds, MOST_ROUNDS), min(budget.patience, LONGEST_PATIENCE)
    with _deterministic(budget.seed) as generator:
        network = build()
        network.scaling.learn(torch.from_numpy(x.rows[x.at]))
        share = float(np.clip(np.average(y, weights=weight), 0.01, 0.99))
        nn.init.constant_(network.answer.bias, np.log(share / (1.0 - share)))  # start at the base rate (Lin et al. 2017, section 4.1)
        network.to(device())
        optimiser = torch.optim.AdamW(network.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay)
        best, best_round, kept = np.inf, 0, _state(network)
        for number in range(1, rounds + 1):
            _pass(network, optimiser, length, x, y, weight, generator)
            if valid is None:
                best_round = number
                continue
            loss = log_loss(valid[1], predict(network, length, valid[0]))
            if loss < best:
                best, best_round, kept = loss, number, _state(network)
            elif number - best_round >= patience:
                break
        if valid is not None:
            network.load_state_dict(kept)
        return network.cpu().eval(), best_round


def predict(network: nn.Module, length: int, x: Windows) -> NDArray[np.float64]:
    """Probabilities, shape [n], in batches that a small machine can hold; on the device that the network is on."""
    network.eval()
    home = next(network.parameters()).device
    parts = [np.empty(0)]
    with torch.inference_mode():
        for first in range(0, x.at.size, ASKED):
            batch = torch.from_numpy(x.gather(x.at[first : first + ASKED], length)).to(home)
            parts.append(torch.sigmoid(network(batch).double()).cpu().numpy())
    return np.concatenate(parts)


def _pass(
    network: nn.Module, optimiser: torch.optim.Optimizer, length: int, x: Windows, y: Labels, weight: Weights, generator: torch.Generator
) -> None:
    """Every sample once, in an order drawn from the generator."""
    network.train()
    home = next(network.parameters()).device
    order = torch.randperm(x.at.size, generator=generator).numpy()
    size = min(LARGEST_BATCH, max(SMALLEST_BATCH, order.size // STEPS))
    for first in range(0, order.size, size):
        CHECKPOINT.get()()
        rows = order[first : first + size]
        batch, label, share = (
            torch.from_numpy(part).to(home)
            for part in (x.gather(x.at[rows], length), y[rows].astype(np.float32), weight[rows].astype(np.float32))
        )
        loss = functional.binary_cross_entropy_with_logits(network(batch), label, weight=share, reduction="sum") / share.sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_STEP)
        optimiser.step()


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def _deterministic(seed: int) -> Iterator[torch.Generator]:
    """One fit at a time, from the seed alone, with algorithms that give the same bits each time; what others see of PyTorch is put back."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA refuses to be deterministic
    with _one_at_a_time, torch.random.fork_rng():
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(seed)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.use_deterministic_algorithms(before)
