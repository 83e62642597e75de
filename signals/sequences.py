"""Windows of bars for learners that look back: always of one market, never across a gap."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Windows(NamedTuple):
    """Samples and the bars before them.

    rows  -- float32 [b, k], features of every bar, each market's in order of time; NaN where they are not known
    start -- int64 [b], the first row of the unbroken run of known bars that a row belongs to
    at    -- int64 [n], the rows that are the samples
    """

    rows: NDArray[np.float32]
    start: NDArray[np.int64]
    at: NDArray[np.int64]

    def take(self, samples: NDArray[np.int64]) -> Self:
        """Those samples, by their numbers."""
        return self._replace(at=self.at[samples])

    def gather(self, at: NDArray[np.int64], length: int) -> NDArray[np.float32]:
        """The last `length` bars up to and with each row of `at`, oldest first: [n, length, k]. A run that is shorter repeats its first bar."""
        place = at[:, None] + np.arange(1 - length, 1)
        return self.rows[np.maximum(place, self.start[at][:, None])]


def run_starts(timestamp: NDArray[np.int64], values: NDArray[np.float64], step_ms: int) -> NDArray[np.int64]:
    """For each row of one market, the first row of its run: int64 [n]. A run ends where a bar is missing, or one of its features in values
    [n, k] is not finite; such a bar is a run of its own."""
    if timestamp.size == 0:
        return np.empty(0, dtype=np.int64)
    known: NDArray[np.bool_] = np.isfinite(values).all(axis=1)  # type: ignore[assignment]
    begins = np.ones(timestamp.size, dtype=bool)
    begins[1:] = (np.diff(timestamp) != step_ms) | ~known[1:] | ~known[:-1]
    return np.maximum.accumulate(np.where(begins, np.arange(timestamp.size), 0))
