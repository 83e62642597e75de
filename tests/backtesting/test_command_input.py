"""What the command says to input that it cannot use."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from backtesting import runs
from backtesting.models import BacktestRun
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db


def refusal(*args) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("backtest", *args, stdout=out)
    assert out.getvalue() == ""
    return str(refused.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--capital", "much"], "capital: 'much' is not a number; give an amount like 100"),
        (["--capital", "-5"], "capital: must be more than 0"),
        (["--capital", "nan"], "capital: must be more than 0"),
        (["--capital", "1"], f"capital: 1 USDT cannot buy the venue's smallest order of {BTC}"),
        (["--start", "2025-13-01"], "start: '2025-13-01' is not a day; write it like 2025-01-31"),
        (["--end", "31.12.2025"], "end: '31.12.2025' is not a day"),
        (["--end", "2001-01-01"], "end: must be after the start"),
        (["--start", "2040-01-01"], f"symbols: {BTC} has no 15m candles between 2040-01-01"),
        (["--trades", "trades"], "trades: trades must end in .csv or .parquet"),
    ],
)
def test_it_names_the_field_and_the_remedy(args, words):
    scenes.make_market(BTC, bars=50)
    rows.make_model(oos_start_ms=scenes.START_MS + 20 * scenes.BAR_MS)
    said = refusal("--symbols", BTC, *args)
    assert said.startswith(words)
    assert "\n" not in said
    assert BacktestRun.objects.count() == 0


def test_it_asks_for_a_model_first():
    scenes.make_market(BTC, bars=50)
    assert refusal("--symbols", BTC).startswith("model: there is no champion yet; train one first")
    assert BacktestRun.objects.count() == 0


def test_it_mixes_no_simulated_market_with_a_real_one():
    scenes.make_market(BTC, bars=50)
    scenes.make_market(ETH, bars=50, provenance="file")
    rows.make_model(oos_start_ms=scenes.START_MS + 20 * scenes.BAR_MS)
    assert refusal("--symbols", f"{BTC},{ETH}").startswith("symbols: candles of different origin are never mixed")
    assert BacktestRun.objects.count() == 0


def test_it_keeps_the_run_when_its_trades_cannot_be_written(tmp_path, monkeypatch, capsys):
    scenes.make_market(BTC, bars=50)
    rows.make_model(oos_start_ms=scenes.START_MS + 20 * scenes.BAR_MS)

    def done(run_id, progress=None):
        BacktestRun.objects.filter(pk=run_id).update(status="done", metrics={"sample": {}})

    monkeypatch.setattr(runs, "execute", done)
    (tmp_path / "trades.csv").mkdir()
    with pytest.raises(
        CommandError, match=r"^trades: .*trades.csv cannot be written \(Is a directory\); choose another place, run \d+ is kept"
    ):
        call_command("backtest", "--symbols", BTC, "--capital", "1000", "--json", "--trades", str(tmp_path / "trades.csv"))
    assert json.loads(capsys.readouterr().out)["status"] == "done"


def test_it_cancels_a_run_that_is_stopped_with_ctrl_c(monkeypatch):
    scenes.make_market(BTC, bars=50)
    rows.make_model(oos_start_ms=scenes.START_MS + 20 * scenes.BAR_MS)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_simulate", stopped)
    with pytest.raises(KeyboardInterrupt):
        call_command("backtest", "--symbols", BTC, "--capital", "1000")
    assert [run.status for run in BacktestRun.objects.all()] == ["cancelled"]
