"""The offline catalogue: every document that a description imports, by its address.

A folder and a file `catalogue.toml` in it that says which address is which file. Nothing is ever
fetched from here: an address that the catalogue does not have is an error with its name.

    [[document]]
    url = "https://register.example/types.xsd"
    file = "types.xsd"
    sha256 = "…"        # optional; the start fails when the file is another one

A description that was given as a file may import its neighbours by relative names.
"""

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from trust.errors import StorageError

INDEX = "catalogue.toml"
MAX_DOCUMENT = 8 * 1024 * 1024
LOCAL = "file:///"  # stands for the folder; what is above it can't be named

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
# Schemas that descriptions import without bringing them, by namespace; our own short forms.
BUILT_IN = {
    "http://x-road.eu/xsd/xroad.xsd": "xroad.xsd",
    "http://x-road.eu/xsd/identifiers": "identifiers.xsd",
    "http://x-road.eu/xsd/representation.xsd": "representation.xsd",
    "http://x-road.eu/xsd/security-token.xsd": "security-token.xsd",
    "http://x-road.ee/xsd/x-road.xsd": "x-road-5.xsd",
    XML_NAMESPACE: "xml.xsd",
    "http://www.w3.org/2004/08/xop/include": "xop-include.xsd",
    "http://www.w3.org/2005/05/xmlmime": "xmlmime.xsd",
    "http://ws-i.org/profiles/basic/1.1/xsd": "swaref.xsd",
    "http://schemas.xmlsoap.org/soap/envelope/": "soap-envelope.xsd",
    "http://schemas.xmlsoap.org/soap/encoding/": "soap-encoding.xsd",
    "http://www.w3.org/2003/05/soap-envelope": "soap12-envelope.xsd",
    "http://www.w3.org/2005/08/addressing": "ws-addressing.xsd",
    "http://docs.oasis-open.org/wss/2004/01/"
    "oasis-200401-wss-wssecurity-secext-1.0.xsd": "wss-secext.xsd",
    "http://docs.oasis-open.org/wss/2004/01/"
    "oasis-200401-wss-wssecurity-utility-1.0.xsd": "wss-utility.xsd",
}
BUILT_IN_URL = "https://schemas.sacbe.invalid/"


class CatalogueError(StorageError):
    """The catalogue lacks a document, or one is not what the catalogue says."""


@dataclass(frozen=True, slots=True)
class Entry:
    url: str
    file: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Documents by address; `folder` is where all of them lie."""

    folder: Path
    entries: tuple[Entry, ...] = ()
    _by_url: dict[str, Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_url", {entry.url: entry for entry in self.entries})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the index of a folder; a folder without one has no addresses, only neighbours."""
        path = folder / INDEX
        try:
            text = path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return cls(folder)
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogueError(f"{path} can't be read: {type(error).__name__}") from error
        return cls(folder, tuple(parse_index(text)))

    def has(self, url: str) -> bool:
        if url in self._by_url or url.startswith(BUILT_IN_URL):
            return True
        return url.startswith(LOCAL) and self._neighbour(url).is_file()

    def address_of(self, path: Path) -> str:
        """The address of a file in the folder: the catalogue's, or a local one."""
        name = path.resolve().relative_to(self.folder.resolve()).as_posix()
        return next((entry.url for entry in self.entries if entry.file == name), LOCAL + name)

    def read(self, url: str) -> bytes:
        """The bytes of a document; raises CatalogueError. The network is never asked."""
        if url.startswith(BUILT_IN_URL):
            return _built_in(url.removeprefix(BUILT_IN_URL))
        entry = self._by_url.get(url)
        if entry is None and not url.startswith(LOCAL):
            raise CatalogueError(
                f"'{url[:200]}' is imported and not in the catalogue of {self.folder}"
            )
        path = self._neighbour(url) if entry is None else self._inside(self.folder / entry.file)
        data = _read_file(path)
        if entry is not None and entry.sha256 and _sha256(data) != entry.sha256:
            raise CatalogueError(f"{path} is not the file that the catalogue was made with")
        return data

    def _neighbour(self, url: str) -> Path:
        return self._inside(self.folder / unquote(urlsplit(url).path).lstrip("/"))

    def _inside(self, path: Path) -> Path:
        """The path, when it lies in the folder, links followed."""
        found = path.resolve()
        if not found.is_relative_to(self.folder.resolve()):
            raise CatalogueError(f"{path} lies outside of the catalogue's folder")
        return found


def parse_index(text: str) -> list[Entry]:
    """Read the text of `catalogue.toml`; raises CatalogueError."""
    try:
        found = tomllib.loads(text).get("document", [])
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{INDEX} is no TOML: {error}") from error
    if not isinstance(found, list):
        raise CatalogueError(f"{INDEX} has no [[document]] entries")
    return [_entry(table) for table in found]


def _entry(table: object) -> Entry:
    known = {"url", "file", "sha256"}
    if not isinstance(table, dict) or not {"url", "file"} <= set(table) <= known:
        raise CatalogueError(f"a [[document]] of {INDEX} has url, file and sha256 only")
    if not all(isinstance(value, str) for value in table.values()):
        raise CatalogueError(f"a [[document]] of {INDEX} has a value that is no text")
    return Entry(**table)


def build_index(entries: Iterable[Entry]) -> str:
    """The text of `catalogue.toml`."""
    return "\n".join(
        f'[[document]]\nurl = "{_quoted(entry.url)}"\nfile = "{_quoted(entry.file)}"\n'
        f'sha256 = "{entry.sha256}"\n'
        for entry in entries
    )


def entry_for(url: str, file: str, data: bytes) -> Entry:
    return Entry(url, file, _sha256(data))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise CatalogueError(f"{path} can't be read: {error.strerror}") from error
    if len(data) > MAX_DOCUMENT:
        raise CatalogueError(f"{path} is larger than {MAX_DOCUMENT} bytes")
    return data


def _built_in(name: str) -> bytes:
    if name not in BUILT_IN.values():
        raise CatalogueError(f"there is no built-in schema '{name[:100]}'")
    return resources.files("adapters.soap").joinpath("schemas", name).read_bytes()
