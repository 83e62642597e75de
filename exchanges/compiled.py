"""Numba for this project: compiled functions kept on disk until any source that went into them changes.

Numba asks only whether a function's own file has changed. A kernel that calls exchanges.exits would go on with the exits of yesterday. Here
the cache belongs to a digest of all sources that are compiled, and of the modules whose names and constants they take.
"""

import hashlib
import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import config, njit
from numba.core.caching import InTreeCacheLocator

__all__ = ["UNCOUNTED", "cores", "is_kept", "njit", "records"]

ROOT = Path(__file__).resolve().parent.parent
APPS = ("exchanges", "signals", "backtesting")
FOLDER = "compiled-"
UNCOUNTED: dict[str, Any] = {"cache": True, "_nrt": False}
"""For functions that allocate nothing: numba then does not count the arrays they are given in and out, which took two thirds of a pass."""
_IMPORTS = re.compile(r"^from ((?:exchanges|signals|backtesting)[\w.]*) import", re.MULTILINE)


@cache
def digest() -> str:
    """What the compiled code is made of, in 16 hexadecimal digits."""
    own = {
        path: text for app in APPS for path in sorted((ROOT / app).rglob("*.py")) if "njit" in (text := path.read_text(encoding="utf-8"))
    }
    named = {ROOT / (name.replace(".", "/") + ".py") for text in own.values() for name in _IMPORTS.findall(text)}
    found = hashlib.sha256()
    for path in sorted({*own, *(path for path in named if path.exists())}):
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def records(rows: Any) -> Any:
    """Structured rows as a compiled loop takes them with the least ado: numba is ten times as slow to recognise a recarray, which plain
    Python (NUMBA_DISABLE_JIT) needs for fields by name."""
    return rows.view(np.recarray if _settings.DISABLE_JIT else np.ndarray)


def cores() -> int:
    """How many threads may compute here: the cores this process may use, or NUMBA_NUM_THREADS where the environment sets it."""
    return int(os.environ.get("NUMBA_NUM_THREADS") or len(os.sched_getaffinity(0)))


def is_kept(function: Any) -> bool:
    """Whether a compiled function of today's sources is on disk; if not, its first call compiles it."""
    folder, name = function.stats.cache_path, f"{function.py_func.__module__.rpartition('.')[2]}.{function.py_func.__qualname__}"
    return folder is not None and any(Path(folder).glob(f"{name}-*.nbi"))


class BySources(InTreeCacheLocator):
    """Beside the sources, in a folder for their digest; folders of earlier sources are removed."""

    def get_cache_path(self) -> str:
        return str(Path(super().get_cache_path()) / f"{FOLDER}{digest()}")

    def get_source_stamp(self) -> str:
        return digest()

    def ensure_cache_path(self) -> None:
        mine = Path(self.get_cache_path())
        is_new = not mine.exists()
        super().ensure_cache_path()
        if is_new:
            for other in mine.parent.glob(f"{FOLDER}*"):
                if other != mine:
                    shutil.rmtree(other, ignore_errors=True)


_settings: Any = config
if not _settings.CACHE_DIR:  # whoever names a folder of their own for the cache gets it
    _settings.CACHE_LOCATOR_CLASSES = f"{BySources.__module__}.{BySources.__qualname__},numba.core.caching.UserWideCacheLocator"
