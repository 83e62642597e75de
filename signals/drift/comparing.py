"""Which columns of a window differ from a reference, and whether that is more than chance. Arrays in, arrays out."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals.distributions import DAY_MS, Histogram, Reference, false_discoveries, histogram, ks, ks_p_value, psi

LEAST_INDEPENDENT = 8.0
"""A window worth fewer independent values says nothing: a daily average looks another way every month."""


@dataclass(frozen=True, slots=True)
class Limits:
    """psi and ks: from where a difference is large. false_discovery: the share of accused columns that may be chance. feature_share: the
    share of the tested features that has to differ before the model's world has."""

    psi: float = 0.15
    ks: float = 0.10
    false_discovery: float = 0.05
    feature_share: float = 0.2


class Compared(NamedTuple):
    """One column. `independent` values in the window; an untested column has fewer than LEAST_INDEPENDENT and is never called different."""

    name: str
    psi: float
    ks: float
    p_value: float
    independent: float
    is_tested: bool
    is_different: bool
    histogram: Histogram


def compare(
    reference: Reference, values: NDArray[np.float32], moments: NDArray[np.int64], *, step_ms: int, limits: Limits
) -> list[Compared]:
    """Each column of the reference against the window's values [rows, columns], moments [rows] ms apart by `step_ms`; rows are finite.

    A column differs when PSI or KS reaches its limit AND the KS test, by effective sample sizes, is among those that
    Benjamini and Hochberg's procedure believes over all tested columns.
    """
    days = np.unique(moments).size * step_ms / DAY_MS
    found = []
    for column, name in enumerate(reference.columns):
        ours = reference.sample[:, column].astype(np.float64)
        ours, theirs = ours[np.isfinite(ours)], values[:, column].astype(np.float64)
        if not ours.size:
            continue
        known = min(ours.size, reference.per_day[column] * reference.days)
        independent = min(theirs.size, reference.per_day[column] * days)
        bins = histogram(ours, theirs)
        distance = ks(ours, theirs)
        is_tested = independent >= LEAST_INDEPENDENT and known >= LEAST_INDEPENDENT
        p_value = ks_p_value(distance, known, independent) if is_tested else 1.0
        found.append(Compared(name, psi(bins, ours.size, theirs.size), distance, p_value, independent, is_tested, False, bins))
    tested = [number for number, one in enumerate(found) if one.is_tested]
    believed = false_discoveries(np.array([found[number].p_value for number in tested]), limits.false_discovery)
    for number, is_believed in zip(tested, believed.tolist(), strict=True):
        one = found[number]
        found[number] = one._replace(is_different=is_believed and (one.psi >= limits.psi or one.ks >= limits.ks))
    return found
