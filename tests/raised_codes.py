"""Which fault codes the source raises: the literals that stand where a code is expected."""

import ast
from collections.abc import Iterator
from pathlib import Path

from trust import errors
from trust.errors import ExchangeError, PeerFault

ROOT = Path(__file__).parents[1]
FOLDERS = ("trust", "catalog", "node")
TABLE = ROOT / "node" / "messages" / "code_table.py"
_RAISED = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, ExchangeError) and value is not PeerFault
}


def raised_codes() -> dict[str, set[str]]:
    """Every code, with its groups in front where they are written together, and the files."""
    found: dict[str, set[str]] = {}
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in _sources()}
    takers = {name: place for tree in trees.values() for name, place in _takers(tree).items()}
    everywhere = {name: place for name, place in takers.items() if not name.startswith("_")}
    for path, tree in trees.items():
        for code in _codes_in(tree, everywhere | _takers(tree)):
            found.setdefault(code, set()).add(str(path.relative_to(ROOT)))
    return found


def all_words() -> set[str]:
    """Every string literal of the source besides the table, whole and split at dots."""
    words: set[str] = set()
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words |= {node.value, *node.value.split(".")}
    return words


def _sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if path != TABLE)


def _codes_in(tree: ast.Module, takers: dict[str, int]) -> Iterator[str]:
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _class_code(node)
        elif isinstance(node, ast.Call):
            for argument in _code_of_call(node, takers):
                yield from _texts(argument, constants)
        elif isinstance(node, ast.FunctionDef):
            yield from _defaults(node)


def _takers(tree: ast.Module) -> dict[str, int]:
    """Functions of the module with a parameter `code`, and the place of it."""
    found = dict.fromkeys(_RAISED, 1) | {"within": 0}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
            if "code" in names and not node.name.startswith("__"):
                found[node.name] = names.index("code")
    return found


def _class_code(node: ast.ClassDef) -> Iterator[str]:
    """The `code` of an error class."""
    if not any(_name(base) in _RAISED for base in node.bases):
        return
    for line in node.body:
        if isinstance(line, ast.Assign) and _name(line.targets[0]) == "code":
            yield from _texts(line.value, {})


def _code_of_call(node: ast.Call, takers: dict[str, int]) -> Iterator[ast.expr]:
    place = takers.get(_name(node.func))
    if place is None:
        return
    if len(node.args) > place:
        yield node.args[place]
    yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")


def _defaults(node: ast.FunctionDef) -> Iterator[str]:
    names = [argument.arg for argument in node.args.args]
    with_default = names[len(names) - len(node.args.defaults) :]
    for name, default in zip(with_default, node.args.defaults, strict=True):
        if name == "code":
            yield from _texts(default, {})


def _constants(tree: ast.Module) -> dict[str, str]:
    """The texts that the module gives names to."""
    return {
        _name(line.targets[0]): line.value.value
        for line in tree.body
        if isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    }


def _texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """The literals that an expression may come to."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, constants)
        yield from _texts(node.orelse, constants)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
