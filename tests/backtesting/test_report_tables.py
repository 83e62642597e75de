"""The tables of a report: what each cell says, and what is shown when a run stored less."""

import re

import pytest
from django.urls import reverse

from backtesting.views import tables
from tests.backtesting import report_rows, rows
from tests.backtesting.test_pages import words

pytestmark = pytest.mark.django_db
FOUND = report_rows.make_findings()


@pytest.mark.parametrize(
    ("value", "most", "name"),
    [
        (4.0, 4.0, "heat--up4"),
        (1.0, 4.0, "heat--up1"),
        (1.01, 4.0, "heat--up2"),
        (-2.0, 4.0, "heat--down2"),
        (-0.001, 4.0, "heat--down1"),
        (0.0, 4.0, ""),
        (None, 4.0, ""),
        (0.0, 0.0, ""),
    ],
)
def test_a_cell_is_as_warm_as_it_is_large(value, most, name):
    assert tables.heat(value, most) == name


def test_months_are_warm_against_the_largest_of_all_years():
    quiet = {"year": 2026, "months": [1.0] + [None] * 11, "total": 1.0}
    found = tables.years([*FOUND["tables"]["years"], quiet])
    assert [cell["heat"] for cell in found[0]["months"][:5]] == ["heat--up4", "heat--down2", "", "heat--up1", ""]
    assert found[1]["months"][0] == {"value": 1.0, "heat": "heat--up1"}


def test_costs_are_negative_and_what_was_received_is_not():
    lines = tables.costs(FOUND["costs_paid"])["lines"]
    assert [(line["name"], line["value"], line["share"]) for line in lines] == [
        ("Fees", -10.0, 10.0),
        ("Slippage", -20.0, 20.0),
        ("Funding", 5.0, -5.0),
    ]


def test_a_band_runs_along_its_upper_edge_and_back_along_its_lower():
    found = [{"trade": 1, "low": 0.0, "middle": 1.0, "high": 2.0}, {"trade": 3, "low": 0.0, "middle": 1.0, "high": 2.0}]
    plot = tables.bands(found, "Bands")
    # The drawing is 42..328 wide and 10..194 high; 6 % of the range stay free above and below.
    assert plot.line == "42.0,102.0 328.0,102.0"
    assert plot.band == "42.0,19.9 328.0,19.9 328.0,184.1 42.0,184.1"
    assert tables.bands(found[:1], "Bands") is None


def test_checks_are_grouped_with_the_worst_first():
    checks = [{"verdict": word, "name": word} for word in ("pass", "fail", "pass")]
    assert [(group["verdict"], len(group["checks"])) for group in tables.verdicts(checks)] == [("fail", 1), ("pass", 2)]


@pytest.fixture
def page(alice, client_for):
    run = rows.make_finished(alice, rows.make_model())
    run.metrics |= FOUND
    run.equity = {**rows.CURVES, "open_notional": [0.0, 495.0, 2020.0]}
    run.save()
    return client_for(alice).get(reverse("backtests:detail", args=[run.pk]))


def test_the_page_tells_months_and_drawdowns(page):
    told = words(page)
    assert "2025 +4.0 -2.0 0.0 +1.0 – – – – – – – – +3.0" in told
    assert "1 Jan 2025 2 Jan 2025 not yet 5.50 % 2.0" in told
    assert "1 Jan 2025 1 Jan 2025 2 Jan 2025 1.50 % 1.0" in told


def test_the_page_tells_where_the_result_comes_from(page):
    told = words(page)
    assert "BTC/USDT:USDT 4 +12.00 75 % +0.50 % 40 %" in told
    assert "end of data 4 +12.00 – +0.50 % –" in told
    assert "By weekday" not in told


def test_the_page_tells_costs_and_concentration(page):
    told = words(page)
    assert "Before costs +100.00 USDT Fees -10.00 USDT 10 % of the profit before costs" in told
    assert "With 2 times the costs +50.00 USDT With 3 times the costs -25.00 USDT" in told
    assert (
        "A trade costs 0.125 % of its notional on average and brings 0.250 % after that. The trades break even at 3.5 times the costs."
        in told
    )
    assert "Without the best trade +60.00 USDT Without the 5 best trades -3.00 USDT Best month, 2025-01 80 % of the net profit" in told


def test_the_page_tells_how_much_may_be_luck(page):
    told = words(page)
    assert "Won after costs % 40.00 60.00" in told
    assert "Return a year %" not in told  # not defined for this run
    assert "Judged by 90 days, the chance that the true Sharpe ratio is above zero is 80 %. It would take 2.0 years of such days" in told
    assert "The deepest drawdown is 2.0 to 7.5 %, 3.0 % in the middle; 75 % of them fall deeper than the 2.5 %" in told
    assert page.content.decode().count('class="plot__band"') == 2
    assert "about 31 trades, returned -9.0 to 4.0 % in nine of ten of 200 tries, -2.5 % in the middle" in told
    assert "The run earned more than 87.5 % of them; the chance that moments chosen without knowledge earn as much is 0.129." in told


@pytest.mark.parametrize(("beaten", "said"), [(1.0, "all"), (0.997, "99.7 %"), (0.0, "none")])
def test_the_page_says_all_only_when_it_beat_all_random_moments(alice, client_for, beaten, said):
    luck = {**FOUND["luck"], "random": {**FOUND["luck"]["random"], "beaten": beaten}}
    run = rows.make_finished(alice, rows.make_model())
    run.metrics |= FOUND | {"luck": luck}
    run.save()
    assert f"The run earned more than {said} of them" in words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))


def test_the_page_draws_exposure_in_percent_of_equity(page):
    assert page.context["exposure_rows"] == [
        [rows.START_MS, 0.0],
        [rows.START_MS + rows.DAY_MS, 50.0],
        [rows.START_MS + 2 * rows.DAY_MS, 200.0],
    ]
    assert re.search(r"1010\.00 0\.00 1002\.00 200\.0", words(page))


@pytest.mark.parametrize("part", ["costs_paid", "tables", "concentration", "luck"])
def test_the_page_does_without_what_older_runs_did_not_store(alice, client_for, part):
    run = rows.make_finished(alice, rows.make_model())
    run.metrics |= {name: found for name, found in FOUND.items() if name != part}
    run.save()
    assert client_for(alice).get(reverse("backtests:detail", args=[run.pk])).status_code == 200


@pytest.mark.parametrize("metric", ["sharpe", "hit_rate_tp1"])
def test_the_page_does_without_a_figure_that_was_not_stored(alice, client_for, metric):
    run = rows.make_finished(alice, rows.make_model())
    del run.metrics["metrics"][metric]
    run.save()
    assert client_for(alice).get(reverse("backtests:detail", args=[run.pk])).status_code == 200


def test_the_page_names_a_check_s_point_and_number(alice, client_for):
    run = rows.make_finished(alice, rows.make_model())
    run.metrics["checks"] = [
        {"point": 7, "name": "Costs are charged", "verdict": "pass", "number": "8.5 bp", "detail": "on every side"},
        {"name": "Sample size", "verdict": "fail", "detail": "few"},
    ]
    run.save()
    told = words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))
    assert "1 failed, 1 passed" in told
    assert told.index("Sample size few") < told.index("7 Costs are charged 8.5 bp on every side")
