"""Who is in an instance, as `GET /listClients` tells it: members, each with its subsystems.

Source: metadata.md 2; X-Road 7.8 MetadataClientRequestProcessor.java.
"""

import json
import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from trust.errors import ExchangeError
from trust.globalconf import Member
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId

XML_TYPE = "text/xml; charset=UTF-8"
JSON_TYPE = "application/json; charset=utf-8"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - as HTTP calls it
_MEDIA_TYPE = re.compile(
    rf"(\*|{_TOKEN}/{_TOKEN})(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|\"(?:[^\"\\]|\\.)*\"))*\s*;?"
)
_MAX_ACCEPT = 4_096  # characters


def wants_json(accept: Iterable[str]) -> bool:
    """Whether some entry of the `Accept` headers is JSON, whatever its weight.

    A lone `*`, which older Java programs send without being asked, is one like `*/*`.

    Raises ExchangeError for an entry that is no media type.
    """
    entries = [entry.strip() for value in accept for entry in value.split(",")]
    if sum(map(len, entries)) > _MAX_ACCEPT:
        raise ExchangeError(f"Accept is longer than {_MAX_ACCEPT} characters")
    found = False
    for entry in filter(None, entries):
        match = _MEDIA_TYPE.fullmatch(entry)
        if match is None:
            raise ExchangeError(f"Could not parse '{entry:.100}'")
        found |= match[1].lower() == "application/json"
    return found


def build_json(members: Iterable[Member]) -> bytes:
    """The list as JSON; absent values are left out."""
    text = json.dumps(
        {"member": list(_entries(members))}, ensure_ascii=False, separators=(",", ":")
    )
    return text.encode("utf-8", "replace")


def _entries(members: Iterable[Member]) -> Iterator[dict[str, object]]:
    for client, member, name in _rows(members):
        identifier = {"member_class": client.member_class, "member_code": client.member_code}
        identifier["object_type"] = client.object_type.value
        if client.subsystem_code is not None:
            identifier["subsystem_code"] = client.subsystem_code
        identifier["xroad_instance"] = client.instance
        entry: dict[str, object] = {"id": identifier, "name": member}
        if name is not None:
            entry["subsystem_name"] = name
        yield entry


def build_xml(members: Iterable[Member]) -> bytes:
    """The list as XML, indented as the reference indents it."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
        f'<xroad:clientList xmlns:xroad="{XROAD_NAMESPACE}" xmlns:id="{IDENTIFIERS_NAMESPACE}">',
    ]
    for client, member, name in _rows(members):
        lines.append("    <xroad:member>")
        lines += _identifier(client)
        lines.append(f"        <xroad:name>{escape(member)}</xroad:name>")
        if name is not None:
            lines.append(f"        <xroad:subsystemName>{escape(name)}</xroad:subsystemName>")
        lines.append("    </xroad:member>")
    lines.append("</xroad:clientList>\n")
    return "\n".join(lines).encode("utf-8", "replace")


def _identifier(client: ClientId) -> Iterator[str]:
    names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
    yield f'        <xroad:id id:objectType="{client.object_type}">'
    for name, value in zip(names, client.parts, strict=False):
        yield f"            <id:{name}>{escape(value)}</id:{name}>"
    yield "        </xroad:id>"


def _rows(members: Iterable[Member]) -> Iterator[tuple[ClientId, str, str | None]]:
    """Each member, then its subsystems: identifier, the member's name, the subsystem's."""
    for member in members:
        yield member.id, member.name, None
        for subsystem in member.subsystems:
            yield subsystem.id, member.name, subsystem.name
