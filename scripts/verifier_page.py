"""The page that judges receipts and containers in a browser: one file, made from its parts.

Scripts and style stand in the page itself, and its policy names their digests: nothing else runs in
it, and nothing is fetched by it or sent from it.
"""

import base64
import hashlib
import json
from pathlib import Path

from trust.configuration.confschema import ANCHOR, SHARED_PARAMETERS
from trust.configuration.confstructure import Simple, Structure

FOLDER = Path(__file__).parent / "verifier"
PAGE = FOLDER / "verifier.html"

_MODULES = (
    "bytes", "zip", "xml", "der", "certificates", "ocsp", "timestamp", "hashchain", "signature",
    "container", "messages", "trustlist", "log", "receipt", "page",
)  # fmt: skip


def build_page() -> str:
    """The page as it must be."""
    script = _script()
    style = "\n" + _part("style.css")
    policy = "; ".join((
        "default-src 'none'",
        f"script-src '{_source(script)}'",
        f"style-src '{_source(style)}'",
        "base-uri 'none'",
        "form-action 'none'",
    ))  # fmt: skip
    page = _part("template.html")
    for name, text in (("policy", policy), ("style", style), ("script", script)):
        page = page.replace(f"{{{name}}}", text, 1)
    return page


def _script() -> str:
    """All modules in one scope of their own, in an order in which each knows those before it."""
    body = _schema() + "\n".join(_part(f"{name}.js") for name in _MODULES)
    if "</script" in body.lower() or not body.isascii():
        raise ValueError("a script that can't stand in the page")
    return f'\n"use strict";\n(() => {{\n{body}}})();\n'


def _schema() -> str:
    """The structure of configuration files, as the command has it, for the script."""
    shapes = {"shared": _structure(SHARED_PARAMETERS), "anchor": _structure(ANCHOR)}
    return f"const CONF_SCHEMA = {json.dumps(shapes)};\n"


def _structure(structure: Structure) -> dict[str, object]:
    return {
        "fields": [
            {
                "name": field.name,
                "type": field.type.what
                if isinstance(field.type, Simple)
                else _structure(field.type),
                "least": field.least,
                "most": field.most,
                "since": field.since,
            }
            for field in structure.fields
        ],
        "attributes": [
            {"name": one.name, "type": one.type.what, "required": one.required}
            for one in structure.attributes
        ],
        "open": structure.open_since,
    }


def _part(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """How a policy names a script or style: by its digest."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
