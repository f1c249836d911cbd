"""Keep the central catalog: what counts as a fact, who offers what, who is the authority."""

import argparse

from scripts.cataloguing.vocabulary import add_vocabulary, tell_vocabulary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_vocabulary(actions)


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    return tell_vocabulary(arguments)
