"""manage.py as a process of its own: what a person sees who starts it wrongly."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from django.db import OperationalError, ProgrammingError

import manage
from exchanges.candles.files import CANDLE_COLUMNS, save
from tests.exchanges.frames import make_frame
from tests.processes import heed_ctrl_c

ROOT = Path(__file__).parents[2]
IMPORT = ("import_candles", "btc.csv", "--symbol", "BTC/USDT:USDT", "--timeframe", "15m")


def started(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    known = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")}
    known |= {"ENV_FILE": ".env.none", "DATA_DIR": str(folder), "SECRET_KEY": "s" * 50, "ENCRYPTION_KEYS": f"k1:{'A' * 43}="}
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=known | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )


def told(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    process = started(folder, *arguments, **environment)
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, err


@pytest.fixture
def prepared(tmp_path):
    process = started(tmp_path, "migrate", "--verbosity", "0")
    assert process.wait(120) == 0, process.stderr.read()
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SECRET_KEY": ""}, "Configuration: SECRET_KEY is not set. Run `make demo`"),
        ({"ENCRYPTION_KEYS": "k1:zz"}, "Configuration: ENCRYPTION_KEYS: the key 'k1' is not base64."),
        ({}, "Database: no such table: exchanges_market; bring it up to date with manage.py migrate"),
    ],
)
def test_it_says_in_one_line_what_the_installation_lacks(tmp_path, environment, message):
    save(tmp_path / "btc.csv", CANDLE_COLUMNS, make_frame(3)[2:])
    status, err = told(tmp_path, *IMPORT, **environment)
    assert status == 1
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_it_shows_where_a_failure_came_from_when_asked(tmp_path):
    status, err = told(tmp_path, "scan", "--traceback")
    assert status == 1
    assert "Traceback" in err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OperationalError("database is locked"), "database is locked; another process writes for long, try again"),
        (OperationalError("database or disk is full"), "database or disk is full; free some disk space"),
        (OperationalError("attempt to write a readonly database"), "attempt to write a readonly database; make it writable"),
        (OperationalError("connection refused\nIs it running?"), "connection refused; see that it runs and that DATABASE_URL is right"),
    ],
)
def test_it_adds_the_remedy_to_what_a_database_says(error, told):
    assert manage.sentence(error) == told


def test_it_lets_a_wrong_query_fail_aloud():
    with pytest.raises(ProgrammingError):
        manage.sentence(ProgrammingError("syntax error"))


@pytest.mark.parametrize(("signum", "status", "said"), [(signal.SIGINT, 130, "Stopped by Ctrl-C"), (signal.SIGKILL, -signal.SIGKILL, "")])
def test_it_leaves_all_or_nothing_of_an_import_that_was_stopped(prepared, signum, status, said):
    count = 400_000
    frame = make_frame(1, timeframe="1m")
    columns = [frame.timestamp[0] + np.arange(count) * 60_000, *(np.full(count, column[0]) for column in frame[3:])]
    save(prepared / "long.parquet", CANDLE_COLUMNS, columns)
    process = started(prepared, "import_candles", "long.parquet", "--symbol", "BTC/USDT:USDT", "--timeframe", "1m")
    journal = prepared / "traderai.sqlite3-wal"
    while not (journal.exists() and journal.stat().st_size > 1_000_000):  # rows are on their way to the disk
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert err.startswith(said)
    assert err.count("\n") <= 1
    with sqlite3.connect(prepared / "traderai.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM exchanges_candle").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM exchanges_market WHERE provenance <> 'none'").fetchone() == (0,)
