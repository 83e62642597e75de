"""A model's answers that are kept: found for the same question only, computed anew when a file is broken, and never more than there is room for."""

import numpy as np
import pytest

from backtesting import remembered, runs
from backtesting.models import BacktestTrade
from tests.signals.scenes import BTC

ONE, TWO = np.arange(3.0), np.arange(4.0)


@pytest.fixture
def folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path / remembered.FOLDER


def ask(words, arrays, answer=ONE):
    asked = []

    def compute():
        asked.append(True)
        return answer

    found = remembered.recall(words, arrays, compute)
    return found.tolist(), bool(asked)


def test_it_asks_once_for_the_same_question(folder):
    assert ask(["model"], [ONE, TWO]) == ([0.0, 1.0, 2.0], True)
    assert ask(["model"], [ONE, TWO]) == ([0.0, 1.0, 2.0], False)
    for words, arrays in ((["other"], [ONE, TWO]), (["model"], [ONE]), (["model"], [TWO, ONE]), (["model"], [ONE, TWO.astype(np.float32)])):
        assert ask(words, arrays)[1]
    assert len(list(folder.glob("*.npy"))) == 5
    assert not list(folder.glob("*.part"))


def test_it_asks_again_when_the_code_has_changed(folder, monkeypatch):
    ask(["model"], [ONE])
    monkeypatch.setattr(remembered, "code_version", lambda: "another")
    assert ask(["model"], [ONE])[1]


def test_it_asks_again_when_the_file_is_broken(folder):
    ask(["model"], [ONE])
    for path in folder.glob("*.npy"):
        path.write_bytes(b"nothing of the kind")
    assert ask(["model"], [ONE]) == ([0.0, 1.0, 2.0], True)
    assert ask(["model"], [ONE]) == ([0.0, 1.0, 2.0], False)


def test_it_goes_on_where_nothing_can_be_kept(folder):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    assert ask(["model"], [ONE]) == ([0.0, 1.0, 2.0], True)


def test_it_forgets_what_was_used_longest_ago(folder, monkeypatch):
    import os

    ask(["first"], [ONE])
    size = next(folder.glob("*.npy")).stat().st_size
    monkeypatch.setattr(remembered, "MOST_BYTES", 2 * size)
    for path in folder.glob("*.npy"):
        os.utime(path, (1, 1))
    ask(["second"], [ONE])
    ask(["third"], [ONE])
    assert len(list(folder.glob("*.npy"))) == 2
    assert ask(["first"], [ONE])[1]


def test_a_run_is_the_same_with_answers_that_were_kept(champion, folder):
    def trades():
        run = runs.execute(runs.start(None, symbols=[BTC], capital=1000, risk_profile="medium", queue=False).pk)
        return run.metrics["sample"]["judged"], list(
            BacktestTrade.objects.filter(run=run).order_by("number").values_list("entry_ms", "exit_ms", "pnl")
        )

    first = trades()
    assert len(list(folder.glob("*.npy"))) == 1
    assert trades() == first
    assert len(list(folder.glob("*.npy"))) == 1
