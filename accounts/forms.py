"""Forms of people: settings, and the places where a TOTP code is accepted."""

from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms

from accounts import totp
from accounts.models import Profile

LEAST_CAPITAL = Decimal(10)
MOST_CAPITAL = Decimal(10_000_000)


class SettingsForm(forms.ModelForm):
    """What a trader sets for himself."""

    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name.replace("_", " ")) for name in ("UTC", *_regions())],
        error_messages={"invalid_choice": "Choose a time zone of the list, such as Europe/Berlin; “%(value)s” is not one."},
        help_text="Times you see are in this zone. Candles and reports stay in UTC.",
    )
    simulation_capital = forms.DecimalField(
        min_value=LEAST_CAPITAL,
        max_value=MOST_CAPITAL,
        max_digits=14,
        decimal_places=2,
        label="Simulation capital (USD)",
        help_text="Starting balance of a paper account. An account that is already open keeps its balance.",
        error_messages={
            "min_value": "Enter at least %(limit_value)s USD: venues refuse smaller orders, so nothing could be traded.",
            "max_value": "Enter at most %(limit_value)s USD.",
            "invalid": "Enter an amount in USD, such as 100 or 2500.50.",
        },
    )

    class Meta:
        model = Profile
        fields = ["risk_profile", "simulation_capital", "time_zone", "theme"]
        widgets = {"risk_profile": forms.RadioSelect, "theme": forms.RadioSelect}
        labels = {"theme": "Colours"}
        help_texts = {
            "risk_profile": "Risk of one trade 1, 2 or 3 % of equity; leverage up to 5, 10 or 20; at most 2, 4 or 6 open positions."
        }
        error_messages = {"risk_profile": {"invalid_choice": "Choose low, medium or high; “%(value)s” is not a risk profile."}}


class ThemeForm(forms.Form):
    theme = forms.ChoiceField(choices=[("system", "Auto"), ("light", "Light"), ("dark", "Dark")])


class OnceMixin:
    """A TOTP code that is right but was used before is a wrong code."""

    def clean_code(self) -> str:
        code: str = super().clean_code()  # type: ignore[misc]
        authenticator = getattr(self, "authenticator", None)
        is_totp = authenticator is None or authenticator.type == Authenticator.Type.TOTP
        if is_totp and not totp.claim(self.user, code):  # type: ignore[attr-defined]
            raise get_adapter().validation_error("incorrect_code")
        return code


def _for_codes(form: Any) -> Any:
    """Phones show digits and offer the code; nothing is corrected or capitalised."""
    widget = form.fields["code"].widget
    widget.attrs |= {"inputmode": "numeric", "autocapitalize": "off", "spellcheck": "false", "class": "code-input", "placeholder": ""}
    return form


class CodeAtLoginForm(OnceMixin, AuthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _for_codes(self)


class CodeAtStepUpForm(OnceMixin, ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _for_codes(self)


class CodeAtEnrolmentForm(OnceMixin, ActivateTOTPForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _for_codes(self)


def _regions() -> list[str]:
    """The zones people know by a city; the database's technical aliases are left out."""
    areas = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
    return sorted(name for name in available_timezones() if name.partition("/")[0] in areas)
