"""Where fields stand in answers: JSON pointers and paths of element names, checked and split."""

import re
from collections.abc import Callable
from urllib.parse import unquote

ANY = "*"  # every item of a list, in a pointer
MAX_PATH = 1000  # characters
MAX_STEPS = 32

_POINTER = re.compile(r"(?:/(?:[^/~\x00-\x1f\x7f]|~[01])*)+")
_NAMES = re.compile(r"(?:/[^/\x00-\x20*\x7f]+)+")
_TEMPLATE = re.compile(r"(?:/(?:[^/{}\x00-\x20\x7f?#]|\{[^/{}\x00-\x1f\x7f]{1,100}\})*)+")
_PARAMETER = re.compile(r"\{([^/{}]*)\}")


def is_pointer(text: str) -> bool:
    """Whether it is a JSON pointer below the root (RFC 6901) of a bounded length."""
    return _bounded(text) and _POINTER.fullmatch(text) is not None


def is_element_path(text: str) -> bool:
    """Whether it is a path of local names below the soap:Body."""
    return _bounded(text) and _NAMES.fullmatch(text) is not None


def _bounded(text: str) -> bool:
    return len(text) <= MAX_PATH and text.count("/") <= MAX_STEPS


def steps_of(path: str) -> tuple[str, ...]:
    """The names along a path, unescaped; `*` stays what it is."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:])


def pointer_to(steps: tuple[str, ...]) -> str:
    """The JSON pointer with these steps."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def is_template(path: str) -> bool:
    """Whether it is a path of an endpoint, with `{name}` for parameters."""
    return len(path) <= 2 * MAX_PATH and _TEMPLATE.fullmatch(path) is not None


def template_names(path: str) -> tuple[str, ...]:
    """The parameters of a path, in order."""
    return tuple(_PARAMETER.findall(path))


def filled(path: str, value_of: Callable[[str], str]) -> str:
    """The path with what is given for each of its parameters."""
    return _PARAMETER.sub(lambda match: value_of(match[1]), path)


def same_template(one: str, other: str) -> bool:
    """Whether two paths differ in the names of their parameters and in escapes alone."""
    return _shape(one) == _shape(other)


def _shape(path: str) -> str:
    return unquote(_PARAMETER.sub("{}", path))
