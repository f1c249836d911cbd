"""JSON as it comes from sources and callers: strict, numbers as written."""

from catalog.fields.json_text import NoJson, parse_json
from trust.errors import MalformedMessage


def read_json(raw: bytes, what: str) -> object:
    """Parse JSON text, or raise MalformedMessage naming `what` and never a value.

    Returns:
        dict, list, str, Number, bool or None, and these within each other.
    """
    try:
        return parse_json(raw)
    except (NoJson, ValueError, RecursionError) as error:
        raise MalformedMessage(f"{what} can't be read as JSON") from error
