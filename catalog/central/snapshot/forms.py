"""The JSON of a snapshot: rows of numbers, each of which is the place of a text or of a client.

Rows are lists: what a newer registry adds stands at their end and is left alone, what an older one
lacks has its default. 0 is the empty text.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

FORMAT = 1
MAX_TEXT = 100_000  # characters
MAX_SERVICES = 100_000
MAX_OF_SERVICE = 20_000  # endpoints of a service, fields of an endpoint

_Index = Annotated[int, Meta(ge=0, lt=10_000_000)]
_Few = Annotated[tuple[_Index, ...], Meta(max_length=1_000)]
_Many = Annotated[tuple[_Index, ...], Meta(max_length=MAX_OF_SERVICE)]
_Number = Annotated[int, Meta(ge=0, lt=1 << 62)]


class FieldRow(Struct, frozen=True, array_like=True):
    name: _Index
    path: _Index
    concept: _Index = 0
    type: _Index = 0


class ViewRow(Struct, frozen=True, array_like=True):
    name: _Index
    source: _Index
    rule: _Index
    value: _Index = 0
    concept: _Index = 0


class ParameterRow(Struct, frozen=True, array_like=True):
    name: _Index
    place: _Index
    default: _Index | None = None


class SubjectRow(Struct, frozen=True, array_like=True):
    name: _Index
    scheme: _Index
    place: _Index


class EndpointRow(Struct, frozen=True, array_like=True):
    method: _Index = 0
    path: _Index = 0
    subject: SubjectRow | None = None
    fields: Annotated[tuple[FieldRow, ...], Meta(max_length=MAX_OF_SERVICE)] = ()
    parameters: Annotated[tuple[ParameterRow, ...], Meta(max_length=1_000)] = ()
    views: Annotated[tuple[ViewRow, ...], Meta(max_length=MAX_OF_SERVICE)] = ()
    namespace: _Index = 0
    qualified: bool = True


class AboutRow(Struct, frozen=True, array_like=True):
    description: _Index = 0
    state: _Index = 0
    ends: _Index = 0
    successor: _Index = 0
    contact: _Few = ()  # name, email, phone, url
    terms: _Index = 0
    keywords: _Few = ()
    territory: _Index = 0
    template: _Index = 0


class ServiceRow(Struct, frozen=True, array_like=True):
    client: _Index
    code: _Index
    version: _Index | None
    type: _Index
    title: _Index = 0
    about: AboutRow | None = None
    endpoints: _Many = ()
    mapping: Annotated[tuple[EndpointRow, ...], Meta(max_length=MAX_OF_SERVICE)] = ()
    plain: bool = False
    digest: _Index = 0
    availability: tuple[datetime, _Number, _Number] | None = None
    unheard_since: datetime | None = None


class CatalogForm(Struct, frozen=True):
    format: int
    instance: str
    version: _Number
    made_at: datetime
    texts: tuple[Annotated[str, Meta(max_length=MAX_TEXT)], ...]
    clients: tuple[Annotated[tuple[_Index, ...], Meta(min_length=3, max_length=4)], ...]
    members: tuple[tuple[_Index, _Index], ...]
    services: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=MAX_SERVICES)]  # of ServiceRow
    vocabulary: msgspec.Raw


class FormatForm(Struct, frozen=True):
    format: int
