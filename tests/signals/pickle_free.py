"""The life of a model with every way to unpickle closed: python -m tests.signals.pickle_free KIND,KIND. Prints JSON.

Run in a fresh interpreter, so that nothing was imported before the doors were closed. DATA_DIR names the folder of its throw-away database.
"""

import functools
import io
import json
import pickle
import sys
from collections.abc import Callable
from typing import Any

OWN_COMPILED_CODE = ("/numba/core/caching.py", "/numba/core/serialize.py")
"""numba keeps functions that it compiled itself in memory and in __pycache__, as Python keeps its own."""
attempts: list[str] = []


class Unpickled(RuntimeError):
    """Something was about to be unpickled."""


def _refuse(what: str) -> None:
    attempts.append(what)
    raise Unpickled(what)


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def guard(*args: Any, **options: Any) -> Any:
        if not sys._getframe(1).f_code.co_filename.endswith(OWN_COMPILED_CODE):
            _refuse(name)
        return function(*args, **options)

    return guard


def close() -> None:
    """Make pickle, joblib, NumPy and torch (when it is there) raise, and note it, instead of reading a pickle."""
    import _pickle

    for module in (pickle, _pickle):
        module.load, module.loads = _guarded(f"{module.__name__}.load", module.load), _guarded(f"{module.__name__}.loads", module.loads)
        reader = type("Unpickler", (module.Unpickler,), {"load": lambda self: _refuse("Unpickler.load")})
        module.Unpickler = reader
    pickle._Unpickler.load = lambda self: _refuse("_Unpickler.load")
    import joblib
    import numpy as np

    joblib.load = _guarded("joblib.load", joblib.load)
    read = np.load

    def load(*args: Any, allow_pickle: bool = False, **options: Any) -> Any:
        return _refuse("numpy.load") if allow_pickle else read(*args, allow_pickle=False, **options)

    np.load = load
    try:
        import torch
    except ImportError:
        return
    torch.load = _guarded("torch.load", torch.load)


def closed() -> list[str]:
    """Offer a pickle at every door, and say which ones refused it."""
    data = pickle.dumps({"a": 1})
    doors = {
        "loads": lambda: pickle.loads(data),
        "load": lambda: pickle.load(io.BytesIO(data)),
        "Unpickler": lambda: pickle.Unpickler(io.BytesIO(data)).load(),
        "joblib": lambda: sys.modules["joblib"].load(io.BytesIO(data)),
        "numpy": lambda: sys.modules["numpy"].load(io.BytesIO(data), allow_pickle=True),
    }
    shut = []
    for name, door in doors.items():
        try:
            door()
        except Unpickled:
            shut.append(name)
    return shut


def fit(kinds: tuple[str, ...]) -> Any:
    """A whole training of one generated market in memory."""
    from exchanges.models import Market, Provenance, Venue
    from signals.training import TrainingParams, panel, pipeline
    from tests.signals.markets import HISTORY_BARS, QUICK
    from tests.signals.series import make_funding, make_series

    frame = make_series(HISTORY_BARS, symbol="BTC/USDT:USDT", seed=21, pull=0.35)
    market = Market(pk=1, venue=Venue(slug="binance"), symbol=frame.symbol, base="BTC", provenance=Provenance.FILE)
    known = [panel.History(market, frame, make_funding(frame))]
    return pipeline.fit(known, frame, TrainingParams(**QUICK, learners=kinds), lambda stage, share: None)


def register(trained: Any) -> Any:
    """The registry's row of a training."""
    from signals import registry

    return registry.register(ensemble=trained.ensemble, scope="default", manifest=trained.manifest, facts=trained.facts)


def main() -> None:
    close()
    import django

    django.setup()
    import numpy as np
    from django.db import connection

    from signals import features, registry
    from signals.models import ModelVersion
    from signals.ports import LONG

    with connection.schema_editor() as editor:
        editor.create_model(ModelVersion)
    model = register(fit(tuple(sys.argv[1].split(","))))
    registry.forget()
    loaded = registry.load(model)
    row = np.random.default_rng(1).normal(size=(1, len(features.NAMES)))
    probability = loaded.predict(row).probability
    reasons = loaded.explain(row[0], LONG)
    result = {"manifest": model.manifest_sha256, "finite": bool(np.isfinite(probability).all()), "reasons": len(reasons)}
    found = list(attempts)
    result["closed"] = closed()
    sys.stdout.write(json.dumps(result | {"attempts": found}))


if __name__ == "__main__":
    main()
