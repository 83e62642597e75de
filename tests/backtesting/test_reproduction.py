"""A run can be had again from what it stored, and says so when it cannot."""

import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from backtesting import reproduction, runs
from backtesting.models import BacktestRun, BacktestTrade
from backtesting.preparation import Candidates, Prepared
from exchanges import candles
from exchanges.models import Market
from exchanges.ports import CandleFrame, FundingFrame
from signals.models import ModelStatus, ModelVersion
from tests.backtesting import rows
from tests.backtesting.test_pages import words
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from traderai.lib import version

pytestmark = pytest.mark.django_db
FACTS = {
    "seed": 0,
    "code_version": "abc",
    "data": {"BTC/USDT:USDT candles": "1", "BTC/USDT:USDT funding": "2"},
    "markets": {"BTC/USDT:USDT": {"step_size": 0.001}},
    "libraries": {"numpy": "2.3"},
    "model": {"version": 1, "manifest_sha256": "aa"},
}


@pytest.fixture
def run(alice):
    return rows.make_finished(alice, rows.make_model(), trades=3)


def done(run):
    runs.execute(run.pk)
    run.refresh_from_db()
    return run


def first_run(user=None):
    return done(runs.start(user, symbols=[BTC, ETH], capital=1000, risk_profile="medium", queue=False))


# --- comparing


def copies(run, **changes):
    """The trades of a run once more; those of the first one with other values."""
    made = [rows.make_trade(run, trade.number) for trade in run.trades.order_by("number")]
    for name, value in changes.items():
        setattr(made[0], name, value)
    return made


def test_it_finds_no_difference_between_a_run_and_itself(run):
    BacktestTrade.objects.filter(run=run, number=2).update(entry_ms=rows.START_MS + 1, probability=None)
    assert reproduction.differences(list(run.trades.all()), list(run.trades.all())) == []


def test_it_overlooks_the_last_bit_of_a_price(run):
    old = list(run.trades.filter(number=1))
    assert reproduction.differences(old, copies(run, exit_price=101.0 * (1 + 1e-12))[:1]) == []
    (said,) = reproduction.differences(old, copies(run, exit_price=101.001)[:1])
    assert said == "Trade 1, long BTC/USDT:USDT: average exit was 101.0, is 101.001."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"exit_reason": "tp1"}, "left by was stop, is tp1"),
        ({"leverage": 6, "pnl": 1.0}, "leverage was 5, is 6; P&L was 0.92, is 1.0"),
        ({"probability": None}, "probability was 0.61, is None"),
    ],
)
def test_it_names_what_of_a_trade_changed(run, changes, text):
    assert reproduction.differences(list(run.trades.filter(number=1)), copies(run, **changes)[:1]) == [
        f"Trade 1, long BTC/USDT:USDT: {text}."
    ]


def test_it_names_trades_that_only_one_run_has(run):
    old, new = rows.make_trade(run, 1), rows.make_trade(run, 1, side="short")
    assert reproduction.differences([old], [new]) == [
        "Trade 1, long BTC/USDT:USDT: missing in the repetition.",
        "Trade 1, short BTC/USDT:USDT: only in the repetition.",
    ]


def test_it_takes_no_two_trades_of_one_moment_for_one(run):
    twice = list(run.trades.order_by("number"))  # three trades of one market, side and time
    assert reproduction.differences(twice, copies(run)) == []
    assert reproduction.differences(twice, copies(run)[:1]) == [
        "Trade 2, long BTC/USDT:USDT: missing in the repetition.",
        "Trade 3, long BTC/USDT:USDT: missing in the repetition.",
    ]


def test_it_counts_all_differences_and_keeps_the_first_fifty(run):
    BacktestTrade.objects.filter(run=run).delete()
    made = [rows.make_trade(run, number, entry_ms=rows.START_MS + number) for number in range(1, 61)]
    seen = reproduction.compare(run, FACTS, made)
    assert (seen["same"], seen["trades"], seen["differing"], len(seen["differences"])) == (False, [0, 60], 60, 50)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"code_version": "def"}, "The code changed: version abc then, def now."),
        (
            {"data": {**FACTS["data"], "BTC/USDT:USDT candles": "9"}},
            "The data changed: BTC/USDT:USDT candles are not what the first run read.",
        ),
        ({"data": {**FACTS["data"], "Bitcoin candles": "9"}}, "The data changed: Bitcoin candles were not read before."),
        ({"data": {"BTC/USDT:USDT candles": "1"}}, "The data changed: BTC/USDT:USDT funding are not read any more."),
        ({"markets": {BTC: {"step_size": 0.01}}}, "The venue's rules changed: step_size of BTC/USDT:USDT was 0.001, is 0.01."),
        ({"libraries": {"numpy": "2.4"}}, "A library changed: numpy 2.3 then, 2.4 now."),
        ({"model": {"version": 1, "manifest_sha256": "bb"}}, "The model's files changed."),
        ({"seed": 1}, "A setting changed: seed was 0, is 1."),
    ],
)
def test_it_says_what_changed_between_two_runs(change, text):
    assert reproduction.causes(FACTS, FACTS | change) == [text]


def test_it_says_when_the_first_run_kept_too_little():
    assert reproduction.causes({"template": "x"}, FACTS | {"template": "x"}) == [
        "The first run kept no hash of its data and no code version, so a change of either cannot be told."
    ]


def test_it_says_that_runs_of_old_were_charged_by_their_first_market():
    said = reproduction.causes(FACTS | {"costs": {"slippage_bps": 3.0}}, FACTS)
    assert len(said) == 1
    assert said[0].startswith("The rules changed: the first run took slippage and what a stop costs from its first market")


# --- what was read


def test_its_hash_follows_every_value_and_not_the_order_of_markets():
    one, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert reproduction.data_hash(one) == reproduction.data_hash(other) != reproduction.data_hash({"a": "2", "b": "1"})
    assert len(reproduction.data_hash(one)) == 32


def test_its_hash_of_a_series_holds_the_warm_up_and_ends_with_the_last_bar():
    market = scenes.make_market(BTC, bars=50)
    whole = candles.read(market, "15m")
    start_ms, bars = int(whole.timestamp[20]), whole.slice(20, 40)
    candidates = Candidates(*[np.zeros(0)] * 8)

    def hashes(simulated=bars, warm_up_bars=10):
        item = Prepared(market, simulated, candles.funding(market), candidates, np.zeros(0), {})
        return reproduction.data_hashes([item], None, start_ms=start_ms, warm_up_bars=warm_up_bars)

    first = hashes()
    assert first.keys() == {f"{BTC} candles", f"{BTC} funding"}
    assert hashes(warm_up_bars=11)[f"{BTC} candles"] != first[f"{BTC} candles"]
    assert hashes(CandleFrame(*bars[:7], bars.volume + 1.0))[f"{BTC} candles"] != first[f"{BTC} candles"]
    boundaries = np.array([start_ms, int(whole.timestamp[40])])
    candles.ingest_funding(market, FundingFrame(boundaries[1:], np.full(1, 1e-4)), provenance=market.provenance)
    assert hashes() == first  # paid after the last bar has closed
    candles.ingest_funding(market, FundingFrame(boundaries[:1], np.full(1, 1e-4)), provenance=market.provenance)
    assert hashes()[f"{BTC} funding"] != first[f"{BTC} funding"]


# --- repeating


def test_it_stores_what_a_repetition_needs(champion):
    run = first_run()
    assert run.data_hash == reproduction.data_hash(run.params["data"])
    assert set(run.params["data"]) == {f"{BTC} candles", f"{BTC} funding", f"{ETH} candles", f"{ETH} funding", "Bitcoin candles"}
    assert run.code_version == version.code_version() == run.params["code_version"]
    assert run.params["model"] == {"scope": "default", "version": champion.version, "manifest_sha256": champion.manifest_sha256}
    assert run.params["markets"][BTC]["min_notional"] == float(Market.objects.get(symbol=BTC, venue__slug="binance").min_notional)
    assert run.comparison == {}


def test_it_repeats_with_the_same_model_and_span_although_both_moved_on(champion, alice):
    run = first_run(alice)
    ModelVersion.objects.update(status=ModelStatus.ARCHIVED)
    market = candles.find_market(BTC)
    last = candles.read(market, "15m", last=1)
    newer = CandleFrame(BTC, "15m", last.timestamp + scenes.BAR_MS, *last[3:])
    candles.ingest(market, newer, provenance=market.provenance)
    again = done(runs.repeat(run, queue=False))
    assert (again.user, again.model_id, again.end_ms, again.repeats_id) == (alice, champion.pk, run.end_ms, run.pk)
    assert again.data_hash == run.data_hash
    assert again.comparison == {"same": True, "trades": [run.trades.count()] * 2, "differing": 0, "differences": [], "causes": []}
    assert run.trades.count() > 0


def test_it_finds_changed_data_behind_changed_trades(champion):
    run = first_run()
    trade = run.trades.order_by("number").first()
    market = candles.find_market(trade.symbol)
    bar = candles.read(market, "15m", start_ms=trade.entry_ms, end_ms=trade.entry_ms + 1)
    dearer = CandleFrame(trade.symbol, "15m", bar.timestamp, bar.open * 1.0005, np.maximum(bar.high, bar.open * 1.0005), *bar[5:])
    candles.ingest(market, dearer, provenance=market.provenance)
    seen = done(runs.repeat(run, queue=False)).comparison
    assert seen["same"] is False
    assert any(line.startswith(f"Trade {trade.number}, {trade.side} {trade.symbol}: ") for line in seen["differences"])
    assert f"The data changed: {trade.symbol} candles are not what the first run read." in seen["causes"]


@pytest.mark.parametrize("status", ["queued", "failed", "cancelled"])
def test_it_repeats_nothing_without_a_result(alice, client_for, status):
    run = rows.make_run(alice, rows.make_model(), status=status)
    reply = client_for(alice).post(reverse("backtests:repeat", args=[run.pk]), follow=True)
    assert f"run {run.pk} has no result to compare with" in reply.content.decode()
    assert BacktestRun.objects.count() == 1


def test_it_repeats_nobody_elses_run(run, bob, client_for):
    assert client_for(bob).post(reverse("backtests:repeat", args=[run.pk])).status_code == 404
    assert client_for(bob).get(reverse("backtests:repeat", args=[run.pk])).status_code == 405


# --- the page


def test_it_shows_the_verdict_on_both_pages(run, alice, client_for):
    client = client_for(alice)
    seen = {"same": True, "trades": [3, 3], "differing": 0, "differences": [], "causes": ["The code changed: version a then, b now."]}
    again = rows.make_finished(alice, run.model, trades=3, repeats=run, comparison=seen, data_hash="d" * 32, code_version="b")
    page = words(client.get(reverse("backtests:detail", args=[again.pk])))
    assert f"All 3 trades of backtest {run.pk} came again" in page
    assert "Changed since: The code changed: version a then, b now." in page
    assert "d" * 32 in page
    page = words(client.get(reverse("backtests:detail", args=[run.pk])))
    assert f"Backtest {again.pk} repeats it: same trades." in page
    assert "This run was made before data hash and code version were kept." in page


def test_it_lists_the_differences(run, alice, client_for):
    seen = {"same": False, "trades": [3, 4], "differing": 1, "differences": ["Trade 4, long X: only in the repetition."], "causes": []}
    again = rows.make_finished(alice, run.model, repeats=None, comparison=seen)
    page = words(client_for(alice).get(reverse("backtests:detail", args=[again.pk])))
    assert "1 trade differs: the first run has 3, this one 4." in page
    assert "Trade 4, long X: only in the repetition." in page
    assert "this is a fault of the program" in page


# --- the command


def test_the_command_says_same_trades(champion):
    run = first_run()
    out = io.StringIO()
    call_command("backtest", "--rerun", str(run.pk), stdout=out)
    assert out.getvalue().strip().endswith(f"Same trades: all {run.trades.count()} of run {run.pk}.")
    call_command("backtest", "--rerun", str(run.pk), "--json", stdout=(out := io.StringIO()))
    told = json.loads(out.getvalue())
    assert (told["repeats"], told["comparison"]["same"], told["data_hash"]) == (run.pk, True, run.data_hash)


def test_the_command_fails_when_trades_differ(champion):
    run = first_run()
    gone = run.trades.order_by("number").first()
    gone.delete()
    out = io.StringIO()
    with pytest.raises(CommandError, match=rf"^1 trade not as in run {run.pk}; run \d+ is kept") as failed:
        call_command("backtest", "--rerun", str(run.pk), stdout=out)
    assert failed.value.returncode == 1
    assert f"{gone.side} {gone.symbol}: only in the repetition." in out.getvalue()


@pytest.mark.parametrize(("args", "text"), [(["--rerun", "999"], "rerun: there is no backtest 999"), (["--rerun", "1", "--symbols", BTC], "not allowed"), ([], "required")])  # fmt: skip
def test_the_command_names_what_is_wrong(args, text):
    with pytest.raises(CommandError, match=text):
        call_command("backtest", *args)
    assert BacktestRun.objects.count() == 0


# --- the code's version


def test_it_tells_a_version_that_names_the_code():
    told = version.code_version()
    assert told
    assert "-dirty" not in told or "+" in told


def test_it_falls_back_to_the_package_s_version(tmp_path):
    assert version.describe(tmp_path) == ""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    assert version.package_version(tmp_path) == "1.2.3"


def test_its_hash_of_the_sources_follows_their_content(tmp_path):
    (tmp_path / "signals").mkdir()
    seen = set()
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        (tmp_path / "signals" / "x.py").write_text(text)
        seen.add(version.sources_hash(tmp_path))
    (tmp_path / "signals" / "x.py").rename(tmp_path / "signals" / "y.py")
    assert len(seen) == 2
    assert version.sources_hash(tmp_path) not in seen


def test_it_keeps_every_rule_of_the_venue_that_a_simulation_rounds_by(run):
    market = scenes.make_market(BTC, bars=5)
    Market.objects.filter(pk=market.pk).update(tick_size="0.25", step_size="0.002", min_notional="7")
    market.refresh_from_db()
    kept = reproduction.configuration(run, [market], {})["markets"][BTC]
    assert (kept["tick_size"], kept["step_size"], kept["min_notional"]) == (0.25, 0.002, 7.0)
