"""Keep the central catalog: what counts as a fact, who offers what, who is the authority."""

import argparse

from scripts.cataloguing.central import add_central, tell_central
from scripts.cataloguing.export import add_export, tell_export
from scripts.cataloguing.finding import add_finding, tell_finding
from scripts.cataloguing.vocabulary import add_vocabulary, tell_vocabulary

_TELLING = {
    "vocabulary": tell_vocabulary,
    "search": tell_finding,
    "show": tell_finding,
    "export": tell_export,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_vocabulary(actions)
    add_central(actions)
    add_finding(actions)
    add_export(actions)


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    return _TELLING.get(arguments.action, tell_central)(arguments)
