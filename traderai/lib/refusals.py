"""What a schema says against a request, as one sentence that names the culprit and what it has to be."""

from collections.abc import Mapping, Sequence
from reprlib import repr as repr_
from typing import Any, NamedTuple

MOST_SHOWN = 60
"""Characters of a name that a caller made up."""
MUST_BE = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of less than 4,300 digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "date_type": "a day such as 2025-01-31",
    "date_parsing": "a day such as 2025-01-31",
    "date_from_datetime_parsing": "a day such as 2025-01-31",
    "date_from_datetime_inexact": "a day such as 2025-01-31",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "longer: at least {min_length}",
    "too_long": "shorter: at most {max_length}",
    "string_too_short": "longer: at least {min_length} characters",
    "string_too_long": "shorter: at most {max_length} characters",
}
"""What a value has to be by the type of pydantic's error; {name}s are the error's own facts."""


class Refused(NamedTuple):
    """field: the dotted path in what was sent, empty for all of it."""

    sentence: str
    field: str


def told(errors: Sequence[Mapping[str, Any]], sent: Any) -> Refused:
    """The first culprit of pydantic's `errors`, whose places begin at `sent`. A value that may be one of several kinds has an error for each:
    of these the one that came furthest counts, and equals are said together."""
    placed = [(_path(error, sent), error) for error in errors]
    path = _furthest([path for path, _ in placed])
    found = [error for at, error in placed if at == path]
    field = ".".join(_short(part) for part in path)
    return Refused(f"{f'{field}:' if field else 'The body'} {_said(found, _value(sent, path))}", field)


def _furthest(paths: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The longest path through the first one's place: another key's is another culprit's."""
    path = paths[0]
    for other in paths[1:]:
        if len(other) > len(path) and other[: len(path)] == path:
            path = other
    return path


def _path(error: Mapping[str, Any], sent: Any) -> tuple[Any, ...]:
    """The error's place without what pydantic adds to it: the names of the kinds that a value may be of."""
    path: list[Any] = []
    value, place = sent, error["loc"]
    for number, part in enumerate(place, 1):
        is_in = part in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_in:
            value = value[part]
        if is_in or (error["type"] == "missing" and number == len(place)):
            path.append(part)
    return tuple(path)


def _value(sent: Any, path: Sequence[Any]) -> Any:
    """What stands there; None where it is missing."""
    for part in path:
        sent = sent.get(part) if isinstance(sent, Mapping) else sent[part]
    return sent


def _said(errors: Sequence[Mapping[str, Any]], value: Any) -> str:
    kinds = {error["type"] for error in errors}
    if "missing" in kinds:
        return "is missing; give it"
    if "extra_forbidden" in kinds:
        return "is not known here; leave it out, or correct its spelling"
    wanted = dict.fromkeys(_wanted(error) for error in errors)
    must = " or ".join(word for word in wanted if word)
    if not must:
        return f"cannot be used: {errors[0]['msg']}"
    return f"must be {must}" if must.startswith(("longer", "shorter")) else f"must be {must}, not {_shown(value)}"


def _wanted(error: Mapping[str, Any]) -> str:
    return MUST_BE.get(error["type"], "").format_map(error.get("ctx", {}))


def _shown(value: Any) -> str:
    """A value as JSON calls it, cut."""
    words = {type(None): "null", dict: "an object", list: "a list", bool: str(value).lower()}
    return words.get(type(value)) or repr_(value)


def _short(part: Any) -> str:
    return str(part).strip()[:MOST_SHOWN] or "(no name)"
