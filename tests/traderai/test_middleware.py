import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db

FRAGMENTS = ["signals:list", "signals:rejected", "positions:list", "positions:history", "dashboard"]


def htmx(page: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}


@pytest.mark.parametrize("name", FRAGMENTS)
def test_it_sends_a_signed_out_page_to_the_sign_in_as_a_whole(client, name):
    """The form must not land in the table's place."""
    page = reverse(name) + "?side=long"
    reply = client.get(reverse(name), headers=htmx(page))
    assert (reply.status_code, reply.content) == (401, b"")
    target, _, query = reply["HX-Redirect"].partition("?")
    assert (target, query) == (reverse("account_login"), f"next={reverse(name).replace('/', '%2F')}%3Fside%3Dlong")


def test_it_sends_a_signed_out_form_back_to_its_page(client):
    reply = client.post(reverse("positions:stop_all"), headers=htmx("/positions/"))
    assert (reply.status_code, reply["HX-Redirect"]) == (401, f"{reverse('account_login')}?next=%2Fpositions%2F")


def test_it_trusts_no_foreign_page_to_come_back_to(client):
    reply = client.get(reverse("positions:list"), headers={"HX-Request": "true", "HX-Current-URL": "https://elsewhere.example/x"})
    assert reply["HX-Redirect"] == f"{reverse('account_login')}?next=%2F"


def test_it_redirects_browsers_without_htmx_as_ever(client):
    reply = client.get(reverse("signals:list"))
    assert (reply.status_code, reply["Location"]) == (302, f"{reverse('account_login')}?next=/signals/")


@pytest.mark.parametrize("name", FRAGMENTS)
def test_it_tells_caches_that_page_and_fragment_differ(alice, client_for, name):
    client = client_for(alice)
    for headers in ({}, htmx(reverse(name))):
        assert "HX-Request" in client.get(reverse(name), headers=headers)["Vary"]


def test_it_lets_no_cache_keep_what_one_person_sees(alice, client_for, client):
    kept = {"no-store", "private"}
    assert set(client_for(alice).get(reverse("positions:list"))["Cache-Control"].split(", ")) == kept
    assert set(client_for(alice).get("/api/v1/strategies")["Cache-Control"].split(", ")) == kept
    assert not client.get(reverse("home")).has_header("Cache-Control")
