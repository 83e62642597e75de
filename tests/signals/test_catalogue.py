"""The page that lists what models look at."""

import pytest
from django.urls import reverse

from signals.features import CATALOGUE, words

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def trader(client_for, alice):
    return client_for(alice)


def listed(html: str) -> list[str]:
    return [part.partition("</code>")[0] for part in html.split('<th scope="row"><code>')[1:]]


def test_it_lists_every_feature_with_its_meaning_source_and_warm_up(trader):
    html = trader.get(reverse("strategies:features")).content.decode()
    assert listed(html) == [spec.name for spec in CATALOGUE]
    spec = next(spec for spec in CATALOGUE if spec.name == "regime_fall")
    row = html.partition("<code>regime_fall</code>")[2].partition("</tr>")[0]
    for text in (words.describe(spec.name).words, spec.source, spec.family, str(spec.warmup_bars), "240"):
        assert text in row


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("family=funding", {spec.name for spec in CATALOGUE if spec.family == "funding"}),
        ("q=kaufman&family=trend", {"efficiency_24", "efficiency_96"}),
        ("q=TRIX", {"trix_15"}),
        ("q=nothing-like-it", set()),
        ("family=unheard-of", set()),
    ],
)
def test_it_is_searched_by_family_and_by_any_word(trader, query, expected):
    html = trader.get(f"{reverse('strategies:features')}?{query}", **HTMX).content.decode()
    assert set(listed(html)) == expected
    assert "<html" not in html
    assert ("No feature like that" in html) == (not expected)


def test_it_is_linked_from_the_strategies_and_closed_to_strangers(trader, client):
    assert reverse("strategies:features") in trader.get(reverse("strategies:list")).content.decode()
    assert client.get(reverse("strategies:features")).status_code == 302
