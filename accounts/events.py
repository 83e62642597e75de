"""What this app tells the others, always after commit."""

from django.dispatch import Signal

sessions_changed = Signal()
"""user_id: int. A session of this user ended, or what makes sessions valid changed: open sockets look whether theirs still is."""

user_joined = Signal()
"""user_id: int. A user confirmed the e-mail address for the first time: the paper account is opened on this."""
