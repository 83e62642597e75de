"""The root of failures that a person can mend."""


class UserError(Exception):
    """The input cannot be used. The message says in one line what is wrong and what to do; `field` names the culprit when there is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
