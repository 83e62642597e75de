"""A model's answers about a stretch of history, kept in files: asking takes a minute where a simulation takes a second.

A file's name is a hash of everything the answers follow from: the model's manifest, every value that was read, and the code. So a file is right or
it is not found. The oldest used go when all together are larger than MOST_BYTES.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from django.conf import settings
from numpy.typing import NDArray

from traderai.lib.version import code_version

log = structlog.get_logger(__name__)

MOST_BYTES = 2_000_000_000
FOLDER = "predictions"


def recall(words: Iterable[str], arrays: Iterable[NDArray[Any]], compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """What `compute` gives for exactly these words and arrays, float64: from its file, else computed and kept."""
    path = Path(settings.DATA_DIR) / FOLDER / f"{_name(words, arrays)}.npy"
    try:
        found: NDArray[np.float64] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("kept answers of a model cannot be read and are computed anew", file=path.name, error=str(error))
    else:
        path.touch()
        return found
    found = compute()
    try:
        _keep(path, found)
    except OSError as error:  # the answers are there, only the next run will have to ask again
        log.warning("answers of a model cannot be kept", file=path.name, error=str(error))
    return found


def _name(words: Iterable[str], arrays: Iterable[NDArray[Any]]) -> str:
    digest = hashlib.blake2b(code_version().encode(), digest_size=16)
    for word in words:
        digest.update(f"\n{word}".encode())
    for array in arrays:
        digest.update(f"\n{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _keep(path: Path, found: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.save(file, found, allow_pickle=False)
    Path(file.name).replace(path)
    _prune(path.parent)


def _prune(folder: Path) -> None:
    """Remove the oldest used files until the rest is small enough."""
    known = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder) if entry.name.endswith(".npy"))
    total = sum(size for _, size, _ in known)
    for _, size, path in known:
        if total <= MOST_BYTES:
            return
        Path(path).unlink(missing_ok=True)
        total -= size
