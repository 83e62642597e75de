import json

import pytest
from django.core.management import CommandError, call_command

from signals import registry
from signals.models import ModelVersion, Rejection, ScanRun, Signal
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db


@pytest.fixture
def markets(ensemble):
    scenes.make_market(ETH)
    scenes.make_market(BTC, bars=100)
    scenes.make_champion(ensemble)


def run(capsys, *args: str) -> str:
    call_command("scan", *args)
    return capsys.readouterr().out


def test_it_prints_what_it_issued_and_what_it_rejected_and_why(markets, capsys):
    out = run(capsys)
    assert "2 markets: 1 issued, 1 rejected" in out
    assert f"issued    {ETH} long" in out
    assert f"rejected  {BTC} - no_history: 100 of the" in out
    assert "[SIMULATED MARKET]" in out


def test_it_prints_json(markets, capsys):
    document = json.loads(run(capsys, "--json"))
    assert [document["markets"], document["errors"]] == [2, []]
    assert document["issued"][0]["symbol"] == ETH
    assert document["issued"][0]["data"] == "simulated"
    assert document["rejected"][0]["code"] == "no_history"


def test_it_shows_standing_decisions_when_it_runs_again(markets, capsys):
    run(capsys)
    document = json.loads(run(capsys, "--json"))
    assert (document["issued"], document["rejected"]) == ([], [])
    assert len(document["decided_before"]) == 2
    assert (Signal.objects.count(), Rejection.objects.count()) == (1, 1)


def test_it_scans_the_named_markets_only(markets, capsys):
    assert json.loads(run(capsys, "--symbols", ETH, "--json"))["markets"] == 1


@pytest.mark.parametrize("typed", [[f"{ETH},{BTC}"], [ETH, BTC]])
def test_it_takes_symbols_apart_by_commas_or_spaces(markets, capsys, typed):
    assert json.loads(run(capsys, "--symbols", *typed, "--json"))["markets"] == 2


def test_it_refuses_an_unknown_symbol_in_one_line(markets):
    with pytest.raises(CommandError, match=r"FOO/BAR.*is not listed") as refused:
        call_command("scan", "--symbols", ETH, "FOO/BAR")
    assert "\n" not in str(refused.value)
    assert not ScanRun.objects.exists()


@pytest.mark.parametrize(
    ("symbols", "told"), [([""], "symbols: none given"), ([" , "], "symbols: none given"), (["NOPE"], "symbol: 'NOPE'")]
)
def test_it_scans_nothing_rather_than_what_was_not_meant(markets, symbols, told):
    with pytest.raises(CommandError, match=told):
        call_command("scan", "--symbols", *symbols)
    assert ScanRun.objects.count() == 0


def test_it_asks_for_candles_first():
    with pytest.raises(CommandError, match="symbols: no market has candles; import or backfill them first"):
        call_command("scan", "--json")
    assert ScanRun.objects.count() == 0


def test_it_tells_what_it_found_and_then_fails_when_the_model_is_damaged(markets, capsys):
    model = ModelVersion.objects.get()
    (registry.folder(model) / "manifest.json").write_text("{}")
    registry.forget()
    with pytest.raises(
        CommandError,
        match=r"^model default v\d+ cannot be used: manifest.json has changed since it was registered; restore it from a backup",
    ):
        call_command("scan", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["errors"] == [ScanRun.objects.get().error]
    assert {row["code"] for row in document["rejected"]} >= {"no_model"}
