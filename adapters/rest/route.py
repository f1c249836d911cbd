"""What belongs to one operation: the other service's request, and where its answer holds ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.jsontext import parse_pointer
from adapters.operations import PATH_PARAMETER, Method, Operation
from adapters.parameters import views_of
from adapters.rest.settings import (
    AnswerField,
    AnswerKind,
    FieldType,
    RestOperation,
    RestParameter,
    Target,
)
from adapters.shapes import (
    AnyValue,
    Document,
    Field,
    ListOf,
    Record,
    Scalar,
    Shape,
    ValueType,
)

WITH_BODY = (Method.POST, Method.PUT, Method.PATCH)


@dataclass(frozen=True, slots=True)
class Sent:
    """Where one value of a caller goes.

    Attributes:
        target: never AUTO; None for the path.
        name: there; for the body, the steps of a JSON pointer are `steps`.
        join: what stands between the items of a list; empty: it is sent once for each.
    """

    target: Target | None
    name: str
    steps: tuple[str, ...] = ()
    join: str = ""


@dataclass(frozen=True, slots=True)
class Picked:
    """Where one field of an answer stands."""

    field: Field
    steps: tuple[str, ...]
    header: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation with its way there and back.

    Attributes:
        template: path behind the base address, with `{name}` where a value stands.
        sent: by the names that callers use.
        picked: fields of the answer; None when the answer fits the operation's shape as it is.
        rows: steps to the record or list.
        is_list: whether `picked` is for each element of a list.
    """

    operation: Operation
    method: Method
    template: str
    sent: Mapping[str, Sent]
    picked: tuple[Picked, ...] | None = None
    rows: tuple[str, ...] = ()
    is_list: bool = False
    constant: tuple[tuple[str, str], ...] = ()
    max_items: int = 10_000
    missing: frozenset[int] = field(default=frozenset({404}))


def route_of(declared: RestOperation) -> Route:
    """The route of a declared operation, whose problems were told before."""
    method = declared.ask_method or declared.method
    in_path = PATH_PARAMETER.findall(declared.ask)
    picked = None
    if declared.answer in (AnswerKind.RECORD, AnswerKind.LIST):
        picked = tuple(_picked(one) for one in declared.fields)
    return Route(
        operation=_operation(declared),
        method=method,
        template=declared.ask,
        sent={one.name: sent_of(one, method, in_path) for one in declared.parameters},
        picked=picked,
        rows=parse_pointer(declared.rows),
        is_list=declared.answer is AnswerKind.LIST,
        constant=tuple(declared.constant.items()),
        max_items=declared.max_items,
        missing=frozenset(declared.missing),
    )


def sent_of(parameter: RestParameter, method: Method, in_path: list[str]) -> Sent:
    """Where a parameter goes; raises ValueError for a pointer that is none."""
    target = parameter.to
    name = parameter.called or parameter.name
    if target is Target.AUTO:
        if parameter.name in in_path:
            return Sent(None, parameter.name)
        target = Target.BODY if method in WITH_BODY else Target.QUERY
    if target is Target.BODY:
        steps = parse_pointer(name) if name.startswith("/") else (name,)
        return Sent(target, name, steps)
    return Sent(target, name)


def _picked(declared: AnswerField) -> Picked:
    steps = parse_pointer(declared.at) if declared.at else (declared.name,)
    return Picked(_answer_field(declared), steps, declared.header)


def _answer_field(declared: AnswerField) -> Field:
    nullable = not declared.required
    shape: Shape = AnyValue()
    if declared.type is not FieldType.ANY:
        shape = Scalar(ValueType(declared.type.value), nullable=nullable and not declared.many)
    if declared.many:
        shape = ListOf(shape, nullable=nullable)
    return Field(declared.name, shape, True, declared.description, declared.concept)


def _operation(declared: RestOperation) -> Operation:
    given = tuple(_given(one) for one in declared.parameters)
    in_path = PATH_PARAMETER.findall(declared.path)
    body = None
    parameters = given
    if declared.method in WITH_BODY:
        parameters = tuple(one for one in given if one.name in in_path)
        body = Record(tuple(one for one in given if one.name not in in_path))
    return Operation(
        name=declared.name,
        path=declared.path,
        method=declared.method,
        parameters=parameters,
        body=body,
        answer=_answer(declared),
        summary=declared.summary,
        may_be_missing=bool(declared.missing),
        views=views_of(declared.views),
    )


def _given(declared: RestParameter) -> Field:
    plain = declared.field
    if not declared.many:
        return plain
    return Field(
        plain.name, ListOf(plain.shape), plain.required, plain.description, plain.concept,
        plain.example, plain.subject,
    )  # fmt: skip


def _answer(declared: RestOperation) -> Shape:
    match declared.answer:
        case AnswerKind.ANY:
            return AnyValue()
        case AnswerKind.DOCUMENT:
            return Document()
    row = Record(tuple(_answer_field(one) for one in declared.fields))
    if declared.answer is AnswerKind.RECORD:
        return row
    return Record((Field("items", ListOf(row)),))
