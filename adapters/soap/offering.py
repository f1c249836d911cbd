"""Operations of a WSDL as operations of an adapter: names, addresses, shapes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.operations import Method, Operation
from adapters.shapes import Field, ListOf, Record, Scalar, Shape, ValueType
from adapters.soap.content import Anything, Content, Element, shape_of
from adapters.soap.envelope import Attachment
from adapters.soap.port import Description, SoapOperation

VALUE = "value"  # the field of what has no fields of its own
ATTACHMENTS = "attachments"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")  # a service code, and a segment of a path
_ATTACHMENT = Record(
    (
        Field("id", required=False, description="its Content-ID"),
        Field("media_type"),
        Field("content", Scalar(ValueType.BINARY)),
    )
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What of a description is offered, and what is not, each with the reason."""

    operations: tuple[Operation, ...]
    refused: tuple[tuple[str, str], ...]


def offer(
    description: Description,
    *,
    only: Sequence[str] = (),
    get: Sequence[str] = (),
    attachments: bool = False,
) -> Offer:
    """Make operations of a description.

    Args:
        only: names of those to offer; all when there are none.
        get: names of those that are asked by GET.
        attachments: whether answers have a field for them.
    """
    offered: list[Operation] = []
    refused = [(name, why) for name, why in description.refused if not only or name in only]
    for found in description.operations:
        if only and found.name not in only:
            continue
        why = _obstacle(found, by_get=found.name in get)
        if why:
            refused.append((found.name, why))
        else:
            offered.append(_operation(found, by_get=found.name in get, attachments=attachments))
    known = {name for name, _ in refused} | {operation.name for operation in offered}
    refused += [
        (name, "the description has no such operation") for name in sorted({*only, *get} - known)
    ]
    return Offer(tuple(offered), tuple(refused))


def _obstacle(found: SoapOperation, *, by_get: bool) -> str:
    """Why an operation can't be offered; empty when it can."""
    if not _NAME.fullmatch(found.name):
        return "its name is no letter with letters, digits, '_', '.' and '-' after it"
    if found.request is not None and isinstance(found.request.content, Anything):
        return "nothing is declared about its request"
    fields = input_fields(found.request)
    if by_get and not all(_single(field.shape) for field in fields):
        return "it takes more than single values, so it can't be asked by GET"
    return ""


def _single(shape: Shape) -> bool:
    return isinstance(shape, Scalar) or (isinstance(shape, ListOf) and _single(shape.item))


def _operation(found: SoapOperation, *, by_get: bool, attachments: bool) -> Operation:
    fields = input_fields(found.request)
    return Operation(
        name=found.name,
        path=f"/{found.name}",
        method=Method.GET if by_get else Method.POST,
        parameters=fields if by_get else (),
        body=None if by_get else Record(fields),
        answer=_answer_shape(found.answer, attachments=attachments),
        summary=found.summary,
    )


def input_fields(request: Element | None) -> tuple[Field, ...]:
    """What a caller gives: the fields of the request, or one field for a single value."""
    return () if request is None else _as_record(request.content).fields


def _as_record(content: Content) -> Record:
    shape = shape_of(content)
    return shape if isinstance(shape, Record) else Record((Field(VALUE, shape),))


def given_value(request: Element | None, values: Mapping[str, object]) -> object:
    """What stands for the request's element in what a caller gave."""
    if request is None or isinstance(shape_of(request.content), Record):
        return values
    return values[VALUE]


def _answer_shape(answer: Element | None, *, attachments: bool) -> Shape:
    if not attachments:
        return Record(()) if answer is None else shape_of(answer.content)
    fields = () if answer is None else _as_record(answer.content).fields
    return Record((*fields, Field(ATTACHMENTS, ListOf(_ATTACHMENT))))


def with_attachments(
    answer: Element | None, value: object, attachments: Sequence[Attachment]
) -> dict[str, object]:
    """The value of an answer that tells its attachments too."""
    plain = answer is not None and not isinstance(shape_of(answer.content), Record)
    record: dict[str, object] = {VALUE: value} if plain else dict(_mapping(value))
    record[ATTACHMENTS] = [
        {"id": part.content_id or None, "media_type": part.media_type, "content": part.data}
        for part in attachments
    ]
    return record


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
