#!/usr/bin/env python
"""Django's command line for TraderAI. What a person can mend is told in one line on stderr; --traceback shows where it came from."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "traderai.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        leave("Stopped by Ctrl-C; nothing was left half done, run the command again to go on", status=130)
    except ImproperlyConfigured as error:
        leave(f"Configuration: {error}")
    except (OperationalError, ProgrammingError) as error:
        leave(f"Database: {sentence(error)}")


def sentence(error: Exception) -> str:
    """What the database said, and what to do. A query that is wrong is a fault of the program, so it keeps its traceback."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    if "no such table" in said or "no such column" in said or getattr(error.__cause__, "sqlstate", None) in ("42P01", "42703"):
        return f"{said}; bring it up to date with manage.py migrate"
    if type(error).__name__ != "OperationalError":
        raise error
    remedies = {"locked": "another process writes for long, try again", "full": "free some disk space", "readonly": "make it writable"}
    return (
        f"{said}; {next((remedy for word, remedy in remedies.items() if word in said), 'see that it runs and that DATABASE_URL is right')}"
    )


def leave(message: str, *, status: int = 1) -> None:
    """Say why in one line and exit, unless the whole story was asked for."""
    if "--traceback" in sys.argv:
        raise
    sys.stderr.write(f"{message}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
