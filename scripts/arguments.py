"""Arguments that several commands share: how they are declared and read."""

import argparse
import getpass
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

from config.describe import describe_settings
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId

T = TypeVar("T")

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_action(actions: Actions, name: str, meaning: str) -> argparse.ArgumentParser:
    """Declare an action whose own help says as much as the list of all."""
    return actions.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")


def add_config(parser: argparse.ArgumentParser, file: str) -> None:
    """Declare `--config`, which names the settings; `file` is what that file is usually called."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help=file)


def add_registry_action(actions: Actions, name: str, meaning: str) -> argparse.ArgumentParser:
    """Declare an action of those who have the registry's settings."""
    parser = add_action(actions, name, meaning)
    add_config(parser, "registry.toml")
    return parser


def add_example(actions: Actions, files: Mapping[str, type]) -> None:
    """Declare the action that prints an example of one of these files, the first by default."""
    parser = add_action(actions, "example", "print a commented example file")
    parser.add_argument(
        "file",
        nargs="?",
        choices=tuple(files),
        default=next(iter(files)),
        help="default: %(default)s",
    )


def print_example(files: Mapping[str, type], arguments: argparse.Namespace) -> int:
    """Do what `add_example` declared."""
    print(describe_settings(files[arguments.file]), end="")
    return 0


def account() -> str:
    """Who runs the command, by the name that the system has for him."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user in the system
        return "operator"


def parsed_by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Read an argument by what parses its text, and tell what it finds wrong as bad usage."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except (MalformedMessage, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def moment(text: str) -> datetime:
    """A time in ISO 8601, in UTC unless it says otherwise."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time as 2026-03-02T09:15:00Z") from error
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Read a whole number between two bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return value

    return read


def web_address(text: str) -> str:
    """An address that begins with http:// or https:// and names a host, without a slash behind."""
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        named = False
    if not named:
        raise argparse.ArgumentTypeError(f"{text!r} is no address as https://node.example.org")
    return text.rstrip("/")


client_id = parsed_by(ClientId.from_colons)
server_id = parsed_by(ServerId.from_colons)
service_id = parsed_by(ServiceId.from_colons)
port_number = whole_number(0, 65535)
