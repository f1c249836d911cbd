"""Where everything is that the page asks: one JSON file, written when the sandbox is brought up."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from scripts.ecosystem.institutions import Institution
from trust.errors import MalformedMessage, StorageError


class NodePlace(msgspec.Struct, frozen=True):
    """A node.

    Attributes:
        url: of its port for information systems.
        config: its settings file, for commands.
    """

    name: str
    url: str
    config: str


class Places(msgspec.Struct, frozen=True):
    """All that the page reaches.

    Attributes:
        nodes: by the institution's key.
        registry: where the registry is reached.
        anchor: file by which receipts are judged.
        command: how `sacbe` is started.
    """

    nodes: dict[str, NodePlace]
    registry: str
    anchor: str
    command: tuple[str, ...]

    def node(self, one: Institution) -> NodePlace:
        return self.nodes[one.key]


def places_text(
    institutions: Iterable[Institution],
    folder: Path,
    url: Callable[[str], str],
    command: Iterable[str],
) -> str:
    """The file.

    Args:
        folder: of the sandbox. url: an address by the name of its port.
    """
    nodes = {
        one.key: NodePlace(one.name, url(f"{one.key}-http"), str(folder / one.key / "node.toml"))
        for one in institutions
    }
    anchor = str(folder / "muni" / "anchor.xml")
    places = Places(nodes, url("registry"), anchor, tuple(command))
    return msgspec.json.format(msgspec.json.encode(places)).decode() + "\n"


def read_places(path: Path) -> Places:
    """Read the file; raises StorageError and MalformedMessage."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Places)
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise MalformedMessage(f"{path} does not say where things are: {error}") from error
