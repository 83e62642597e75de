"""allauth's hooks."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter

from accounts import stepup
from traderai.lib import vault

SEALED_FOR = ("accounts", "mfa")


class AccountAdapter(DefaultAccountAdapter):
    def format_email_subject(self, subject: str) -> str:
        return f"TraderAI: {subject}"

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Whoever has a second factor confirms with it; the password page then sends them there."""
        methods = super().get_reauthentication_methods(user)
        return [method for method in methods if method["id"].startswith("mfa")] or methods

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Signing in a moment ago is as good as confirming now."""
        return super().is_reauthentication_required(app=app, **kwargs) and not stepup.is_fresh(self.request)


class MFAAdapter(DefaultMFAAdapter):
    """TOTP secrets and recovery seeds are sealed at rest. allauth does not tell these hooks whose secret it is, so the blob is
    bound to its purpose and not to its owner."""

    def encrypt(self, text: str) -> str:
        return vault.seal(text, bound_to=SEALED_FOR)

    def decrypt(self, encrypted_text: str) -> str:
        return vault.unseal(encrypted_text, bound_to=SEALED_FOR)
