"""Sequence learners in plain PyTorch (extra `deep`): they see the last bars of a market, not only the newest."""

import torch

from signals.learners.deep.learner import SequenceNetwork
from signals.learners.deep.recurrent import RecurrentNetwork
from signals.learners.deep.tft import FusionNetwork
from signals.learners.deep.transformer import TransformerNetwork

torch.set_num_threads(1)  # two trainings run side by side on their own cores; more threads on busy cores are slower, not faster


class LSTMLearner(SequenceNetwork):
    """Long short-term memory."""

    kind = "lstm"
    network = RecurrentNetwork


class TransformerLearner(SequenceNetwork):
    """Transformer encoder."""

    kind = "transformer"
    network = TransformerNetwork


class TFTLearner(SequenceNetwork):
    """Temporal fusion transformer."""

    kind = "tft"
    network = FusionNetwork
