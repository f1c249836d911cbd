"""Fill a catalogue from a living service, once and because somebody asked for it.

Only hosts that the operator named are asked, so that what a description imports can't make the
adapter's machine ask others; redirects are not followed.
"""

import re
import ssl
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
from lxml import etree
from yarl import URL

from adapters.soap.catalogue import (
    BUILT_IN,
    INDEX,
    MAX_DOCUMENT,
    CatalogueError,
    Entry,
    build_index,
    entry_for,
)
from adapters.soap.settings import is_address
from trust.errors import MalformedMessage
from trust.xmlbytes import parse_xml

MAX_DOCUMENTS = 200
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_XS = "http://www.w3.org/2001/XMLSchema"
_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_DEFINITIONS = f"{{{_WSDL}}}definitions"
_SCHEMA = f"{{{_XS}}}schema"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Import:
    """A document that another one needs."""

    url: str
    namespace: str

    @property
    def built_in(self) -> bool:
        return self.namespace in BUILT_IN


def imports_of(root: etree._Element, url: str) -> Iterator[Import]:
    """What a WSDL or a schema at an address imports and includes, with addresses made absolute."""
    for name in ("import", "include", "redefine"):
        for node in root.iter(f"{{{_XS}}}{name}"):
            location = node.get("schemaLocation")
            if location:
                yield Import(urljoin(url, location), node.get("namespace") or "")
    for node in root.iter(f"{{{_WSDL}}}import"):
        location = node.get("location")
        if location:
            yield Import(urljoin(url, location), node.get("namespace") or "")


async def fetch_catalogue(
    url: str,
    folder: Path,
    hosts: Collection[str],
    *,
    authority: Path | None = None,
) -> tuple[Entry, ...]:
    """Fetch a WSDL and all that it imports into a folder that has no catalogue yet.

    Args:
        hosts: the only ones that are asked besides that of `url`: `name`, or `name:port` where the
            port is not that of the scheme.
        authority: CA certificates, PEM, when those of the machine do not do.

    Raises:
        CatalogueError: nothing was written then.
    """
    if (folder / INDEX).exists():
        raise CatalogueError(f"{folder} has a {INDEX} already")
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise CatalogueError(f"{authority} holds no CA certificates") from error
    allowed = {*hosts, _host(url)}
    fetched: dict[str, bytes] = {}
    waiting = [url]
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_TIMEOUT,
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    ) as session:
        while waiting:
            address = waiting.pop(0)
            if address in fetched:
                continue
            if len(fetched) == MAX_DOCUMENTS:
                raise CatalogueError(f"the description imports more than {MAX_DOCUMENTS} documents")
            fetched[address] = data = await _fetch(session, address, allowed, context)
            waiting += [found.url for found in _needed(data, address)]
    return _write(folder, fetched)


def _host(url: str) -> str:
    """The host of an address, with its port where that is not the scheme's."""
    if not is_address(url):
        raise CatalogueError(f"'{url[:200]}' is no address with http or https")
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    host = parts.hostname or ""
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


async def _fetch(
    session: aiohttp.ClientSession, url: str, allowed: Collection[str], context: ssl.SSLContext
) -> bytes:
    host = _host(url)
    if host not in allowed:
        raise CatalogueError(f"'{url[:200]}' is imported, and its host {host} was not named")
    try:
        async with session.get(URL(url), allow_redirects=False, ssl=context) as response:
            if response.status != 200:
                raise CatalogueError(f"'{url[:200]}' was answered with status {response.status}")
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > MAX_DOCUMENT:
                    raise CatalogueError(f"'{url[:200]}' is larger than {MAX_DOCUMENT} bytes")
            return bytes(data)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise CatalogueError(f"'{url[:200]}' can't be fetched: {type(error).__name__}") from error


def _needed(data: bytes, url: str) -> Iterator[Import]:
    """What a document needs that is not built in; raises CatalogueError for what is none."""
    try:
        root = parse_xml(data, what=f"'{url[:200]}'")
    except MalformedMessage as error:
        raise CatalogueError(error.text) from error
    if root.tag not in (_DEFINITIONS, _SCHEMA):
        raise CatalogueError(f"'{url[:200]}' is neither a WSDL nor an XML schema")
    return (found for found in imports_of(root, url) if not found.built_in)


def _write(folder: Path, fetched: dict[str, bytes]) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, (url, data) in enumerate(fetched.items()):
        name = _file_name(url, number)
        (folder / name).write_bytes(data)
        entries.append(entry_for(url, name, data))
    (folder / INDEX).write_text(build_index(entries), encoding="utf-8")
    return tuple(entries)


def _file_name(url: str, number: int) -> str:
    """A name that says what it was, and that no other document of the folder has."""
    last = _UNSAFE.sub("-", urlsplit(url).path.rsplit("/", 1)[-1]).strip(".-")[:60]
    suffix = ".wsdl" if number == 0 else ".xsd"
    stem = last.removesuffix(".wsdl").removesuffix(".xsd") or "document"
    return f"{stem}{suffix}" if number == 0 else f"{number:03d}-{stem}{suffix}"
