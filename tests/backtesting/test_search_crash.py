"""A search in processes of its own that are killed at any instant: another goes on, and every combination is tried and counted once."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from backtesting import searches
from backtesting.combos import space
from backtesting.models import ParameterSearch, TrialBatch
from backtesting.searches import trials
from tests.databases import database_url
from tests.signals import scenes
from tests.signals.scenes import BTC
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
WORK = "import sys, django; django.setup(); from backtesting.searches import running; running.execute(int(sys.argv[1]))"
PATIENCE_S = 240
KILLS = int(os.environ.get("SEARCH_KILLS", "2"))


def begin(search: ParameterSearch) -> "subprocess.Popen[bytes]":
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url()}
    return subprocess.Popen([sys.executable, "-c", WORK, str(search.pk)], cwd=ROOT, env=env)


def batches(search: ParameterSearch) -> int:
    return TrialBatch.objects.filter(search=search).count()


def wait_for_batches(search: ParameterSearch, worker: "subprocess.Popen[bytes]", number: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while batches(search) < number and worker.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_tries_every_combination_once_however_often_its_workers_are_killed(monkeypatch):
    monkeypatch.setattr("backtesting.receivers.nudge", lambda *_, **__: None)  # the test says who works
    scenes.make_market(BTC, frame=make_series(6_000, symbol=BTC, seed=7))
    wide = {"fast": {"low": 2, "high": 60, "step": 1}, "slow": {"low": 62, "high": 150, "step": 1}}
    search = searches.start(
        None, strategy="sma-cross", space=wide, symbols=[BTC], capital=10_000, risk_profile="medium", least_trades=5, queue=False
    )
    killed = 0
    for _ in range(KILLS):
        with begin(search) as worker:
            wait_for_batches(search, worker, batches(search) + 1)
            time.sleep(random.uniform(0, 0.2))
            worker.kill()
            killed += worker.wait() == -signal.SIGKILL
        search.refresh_from_db()
        assert search.tried == trials.load(search).table.shape[0]
        assert searches.sweep() == 0
        ParameterSearch.objects.filter(pk=search.pk).update(heartbeat_at=clock.now() - searches.STALE_AFTER - timedelta(seconds=1))
        searches.sweep()
    assert killed >= 1, "every worker was faster than its kill"
    with begin(search) as worker:
        assert worker.wait(timeout=PATIENCE_S) == 0
    search.refresh_from_db()
    assert (search.status, search.tried, search.wanted) == ("done", 59 * 89, 59 * 89)
    assert np.array_equal(trials.load(search).table, space.parse("sma-cross", search.space).combinations())
    assert search.result["deflated"]["trials"] == 59 * 89
