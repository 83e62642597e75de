import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from accounts.models.user import RiskChoice
from exchanges.risk.profiles import PROFILES

pytestmark = pytest.mark.django_db

GOOD = {"risk_profile": "low", "simulation_capital": "250.50", "time_zone": "Europe/Berlin", "theme": "dark"}


def test_it_saves_and_says_so(client_for, alice):
    page = client_for(alice).post(reverse("settings"), GOOD, follow=True)
    assert "Your settings are saved." in page.content.decode()
    alice.profile.refresh_from_db()
    assert str(alice.profile.simulation_capital) == "250.50"
    assert (alice.profile.risk_profile, alice.profile.time_zone, alice.profile.theme) == ("low", "Europe/Berlin", "dark")
    assert set(AuditEvent.objects.for_user(alice).get(action="settings_changed").detail["fields"]) == set(GOOD)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"simulation_capital": "0"}, "Enter at least 10 USD"),
        ({"simulation_capital": "-5"}, "Enter at least 10 USD"),
        ({"simulation_capital": "NaN"}, "Enter an amount in USD"),
        ({"simulation_capital": "1e400"}, "no more than"),
        ({"simulation_capital": "99999999999"}, "Enter at most 10000000 USD"),
        ({"simulation_capital": ""}, "This field is required"),
        ({"risk_profile": "yolo"}, "is not a risk profile"),
        ({"time_zone": "Mars/Olympus"}, "Choose a time zone of the list"),
        ({"time_zone": "../../etc/passwd"}, "Choose a time zone of the list"),
        ({"theme": "neon"}, "neon"),
    ],
)
def test_bad_input_is_named_and_nothing_is_saved(client_for, alice, change, complaint):
    page = client_for(alice).post(reverse("settings"), {**GOOD, **change})
    assert page.status_code == 422
    assert complaint in page.content.decode()
    alice.profile.refresh_from_db()
    assert (alice.profile.risk_profile, alice.profile.time_zone) == ("medium", "UTC")


def test_errors_are_tied_to_their_field(client_for, alice):
    page = client_for(alice).post(reverse("settings"), {**GOOD, "simulation_capital": "0"}).content.decode()
    assert 'aria-describedby="id_simulation_capital_helptext id_simulation_capital_error"' in page
    assert 'id="id_simulation_capital_error"' in page
    assert 'aria-invalid="true"' in page


def test_risk_profiles_are_those_of_the_risk_gate():
    assert set(RiskChoice.values) == set(PROFILES)


@pytest.mark.parametrize("name", ["settings", "security"])
def test_strangers_are_sent_to_sign_in(client, db, name):
    assert client.get(reverse(name))["Location"].startswith(reverse("account_login"))


def test_the_theme_is_kept_for_the_account_and_the_browser(client_for, alice):
    client = client_for(alice)
    answer = client.post(reverse("theme"), {"theme": "dark", "next": reverse("security")})
    assert answer["Location"] == reverse("security")
    alice.profile.refresh_from_db()
    assert alice.profile.theme == "dark"
    assert 'data-theme="dark"' in client.get(reverse("security")).content.decode()
    assert 'data-theme="dark"' in client.get(reverse("security")).content.decode()


def test_the_theme_of_a_visitor_is_a_cookie(client, db):
    client.post(reverse("theme"), {"theme": "light"})
    assert 'data-theme="light"' in client.get(reverse("account_login")).content.decode()


def test_an_unknown_theme_and_a_foreign_next_are_refused(client, db):
    assert client.post(reverse("theme"), {"theme": "neon"}).status_code == 400
    assert client.post(reverse("theme"), {"theme": "dark", "next": "https://evil.example/"})["Location"] == reverse("home")
    assert client.get(reverse("theme")).status_code == 405


def test_times_are_shown_in_the_readers_zone(client_for, alice):
    alice.profile.time_zone = "Asia/Kolkata"
    alice.profile.save()
    client = client_for(alice)
    client.post(reverse("account_logout"))
    assert "IST" in client_for(alice).get(reverse("security")).content.decode()
