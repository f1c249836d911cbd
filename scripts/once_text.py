"""Answers of the resolver, for people."""

import json
from collections.abc import Iterable
from typing import Any

Answer = dict[str, Any]  # as the node's OpenAPI description has it


def _say(text: str) -> None:
    """Print a line; what registries answer does nothing to a terminal."""
    print("".join(letter if letter.isprintable() else "\ufffd" for letter in text))


def tell_plan(answer: Answer) -> None:
    """Print a line for each exchange and for each fact that is not to be had."""
    for one in answer["plan"]:
        concepts = ", ".join(one["concepts"])
        if "service" not in one:
            _say(f"stage {one['stage']}: {concepts}: asked when {one['depends_on']} is known")
            continue
        name = f" ({one['name']})" if one["name"] else ""
        endpoint = f" {one['endpoint']}" if one["endpoint"] else ""
        _say(f"stage {one['stage']}: {one['service']}{name}{endpoint}: {concepts}")
        for other in one["alternates"]:
            _say(f"    else {other}")
    _tell_missing(answer["missing"])


def tell_answer(answer: Answer) -> None:
    """Print the facts with their source, what is missing, and what was spared."""
    if "preview" in answer:
        _tell_preview(answer)
        return
    for one in answer["evidence"]:
        value = json.dumps(one["value"], ensure_ascii=False)
        here = ", reduced here" if one["reduced_here"] else ""
        source = one["source_name"] or one["source"]
        _say(f"{one['concept']}: {value}")
        _say(f"    {source}, {one['valid_at']}, exchange {one['exchange_id']}{here}")
    _tell_missing(answer["missing"])
    _say(f"Submissions spared: {answer['spared']}")


def _tell_preview(answer: Answer) -> None:
    held = answer["preview"]
    for concept in answer["found"]:
        _say(f"{concept}: waits for the citizen")
    _tell_missing(answer["missing"])
    _say(f"preview {held['id']} token {held['token']} until {held['expires_at']}")


def _tell_missing(missing: Iterable[Answer]) -> None:
    for one in missing:
        _say(f"{one['concept']}: missing: {one['text']} [{one['reason']}, {one['who_can_fix']}]")
