import pytest

from tests.signals import scenes
from tests.signals.series import make_series

BARS = scenes.features.WARMUP_BARS + 700


@pytest.fixture(scope="session")
def learners():
    return scenes.fit_learners(make_series(scenes.BARS + 400, symbol=scenes.ETH, seed=11))


@pytest.fixture
def champion(db, learners):
    """A generated market of two pairs and a champion that likes longs; its out-of-sample time is the last 600 bars."""
    frames = {symbol: make_series(BARS, symbol=symbol, seed=seed) for symbol, seed in ((scenes.BTC, 7), (scenes.ETH, 8))}
    for symbol, frame in frames.items():
        scenes.make_market(symbol, frame=frame)
    start = int(frames[scenes.BTC].timestamp[-600])
    return scenes.make_champion(scenes.make_ensemble(learners), oos_start_ms=start)
