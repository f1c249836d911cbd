"""A graph without blank nodes as Turtle, one block for each thing, sorted.

rdflib's own writer orders by how things hang together, which takes a minute for a large catalog;
terms are still written by rdflib.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from rdflib import RDF, Graph, Literal, URIRef

_LOCAL = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEPT = 20_000  # terms that are remembered as they are written


def write_turtle(graph: Graph) -> bytes:
    return "".join(_pieces(graph)).encode()


def _pieces(graph: Graph) -> Iterator[str]:
    prefixes = {str(namespace): prefix for prefix, namespace in graph.namespaces()}
    for namespace, prefix in sorted(prefixes.items(), key=lambda one: one[1]):
        yield f"@prefix {prefix}: <{namespace}> .\n"
    written = _writer(prefixes)
    for subject in sorted(set(graph.subjects()), key=str):
        said: dict[str, list[str]] = {}
        for predicate, value in graph.predicate_objects(subject):
            said.setdefault(written(predicate), []).append(written(value))
        lines = [f"{name} {_several(values)}" for name, values in sorted(said.items())]
        yield f"\n{written(subject)}\n    " + " ;\n    ".join(lines) + " .\n"


def _several(values: list[str]) -> str:
    """Values of one property, each in a line of its own when there are several."""
    return ",\n        ".join(sorted(values))


def _writer(prefixes: dict[str, str]) -> Callable[[object], str]:
    """How terms are written: with a prefix where a name can be one behind it."""

    @lru_cache(_KEPT)
    def written(term: object) -> str:
        if term == RDF.type:
            return "a"
        if isinstance(term, Literal):
            return term.n3()
        if not isinstance(term, URIRef):
            raise TypeError(f"{type(term).__name__} in a graph that has only IRIs and literals")
        at = max(term.rfind("#"), term.rfind("/")) + 1
        prefix = prefixes.get(term[:at])
        if prefix is not None and _LOCAL.fullmatch(term[at:]):
            return f"{prefix}:{term[at:]}"
        return term.n3()

    return written
