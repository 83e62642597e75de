"""What this app tells the others, always after commit."""

from django.dispatch import Signal

user_joined = Signal()
"""user_id: int. A user confirmed the e-mail address for the first time: the paper account is opened on this."""
