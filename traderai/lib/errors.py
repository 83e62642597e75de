"""The root of failures that a person can mend."""


class UserError(Exception):
    """The input cannot be used. The message says in one line what is wrong and what to do; `field` names the culprit when there is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    @property
    def at_field(self) -> str:
        """The message as it is shown beside its field: without the field's name in front, which stands there as a label."""
        said = self.message.removeprefix(f"{self.field}: ")
        return said if said == self.message else said[:1].upper() + said[1:]
