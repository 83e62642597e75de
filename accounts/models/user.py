from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.db.models import Q


class UserManager(BaseUserManager["User"]):
    """Users are known by their e-mail address."""

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> "User":
        if not email:
            raise ValueError("a user needs an e-mail address")
        user = self.model(email=self.normalize_email(email), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **extra})


class User(AbstractUser):  # type: ignore[django-manager-missing]  # django-otp's abstract model has no types
    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail address", unique=True)
    # Set by django-otp's middleware on the user of a request: whether this session has shown a second factor.
    is_verified: Callable[[], bool]

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[misc,assignment]

    def __str__(self) -> str:
        return self.email


class RiskChoice(models.TextChoices):
    """The names of exchanges.risk.profiles, which this app may not import; a test holds the two together."""

    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"


class Profile(models.Model):
    """What a trader sets for himself (requirement A4)."""

    user = models.OneToOneField(User, models.CASCADE, related_name="profile")
    risk_profile = models.CharField(max_length=6, choices=RiskChoice, default=RiskChoice.MEDIUM)
    simulation_capital = models.DecimalField(
        max_digits=14, decimal_places=2, default=Decimal(100), help_text="Starting balance of a paper account, USD."
    )
    time_zone = models.CharField(max_length=60, default="UTC")
    theme = models.CharField(max_length=6, choices=[("system", "As the system"), ("light", "Light"), ("dark", "Dark")], default="system")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(risk_profile__in=RiskChoice.values), name="profile_risk_known"),
            models.CheckConstraint(condition=Q(simulation_capital__gt=0), name="profile_capital_positive"),
        ]

    def __str__(self) -> str:
        return f"profile of {self.user_id}"
