"""A database whose disk is full."""

import sqlite3

from django.db import DatabaseError

from traderai.lib.errors import UserError

POSTGRESQL_DISK_FULL = "53100"


class OutOfRoom(UserError):
    """Nothing more can be stored."""

    def __init__(self) -> None:
        super().__init__("The database has no room left: free space on its disk, then try again")


def is_out_of_room(error: DatabaseError) -> bool:
    """Whether the database refused for want of space, and not for another reason."""
    cause = error.__cause__
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == POSTGRESQL_DISK_FULL
