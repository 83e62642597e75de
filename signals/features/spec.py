"""What a feature is, and the bars it is computed from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class FeatureSpec(NamedTuple):
    """One column. `warmup_bars` base bars must lie behind a row before its value no longer depends on where the history was cut;
    earlier rows are NaN. `source` says where the formula comes from. Every feature is free of the price's and the volume's scale."""

    name: str
    family: str
    warmup_bars: int
    source: str


class Bars(NamedTuple):
    """One series on a gapless grid, all arrays of length n. A bar that was missing is flat at the last close, with volume 0."""

    step_ms: int
    timestamp: NDArray[np.int64]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array

    @property
    def size(self) -> int:
        return int(self.timestamp.shape[0])


class Inputs(NamedTuple):
    """All that a family may look at. `frames` maps 1h, 4h, 1d to the bars of that frame; `closed` to the index of the newest of them that
    has CLOSED when the base bar closes, -1 before the first; `btc_index` points into `btc`, -1 where Bitcoin is not known."""

    base: Bars
    frames: dict[str, Bars]
    closed: dict[str, NDArray[np.int64]]
    funding_ms: NDArray[np.int64]
    funding_rate: Array
    btc: Bars | None
    btc_index: NDArray[np.int64]
