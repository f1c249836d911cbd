"""The `sacbe` command: one module of this folder per subcommand, imported when it is called."""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

from trust.errors import ConfigurationError, SacbeError

COMMANDS = {
    "sandbox": "run a whole ecosystem on this machine",
    "node": "run an institution's node, apply its services",
    "registry": "run the central operator's registry",
    "catalog": "keep the central catalog: facts, authorities, services",
    "grant": "ask for grants, decide on what others ask for",
    "explain": "say whether a client may call a service, and why",
    "once": "ask for facts about a subject, report what once-only came to",
    "log": "look into a node's message log, take containers out",
    "archive": "see to the files that hold a node's older records",
    "adapter": "serve a database, a service or files as an information system",
    "key": "create keys, certificate requests; import certificates",
    "reconcile": "compare a day with another node, name where they differ",
    "verify": "judge signed containers offline",
    "audit": "judge a whole log or its archive offline",
    "conf": "judge a global configuration",
    "bench": "measure exchanges through two nodes",
    "testca": "run a certification authority for tests",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a negative answer, 2 bad usage or unusable input."""
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # also while modules are still being imported
        return 130


def _run(words: Sequence[str]) -> int:
    parsed = _parsed(words)
    try:
        return int(parsed.run(parsed))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except SacbeError as error:
        print(f"sacbe {parsed.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"sacbe {parsed.command}: {_in_words(error)}", file=sys.stderr)
        return 2


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The arguments, by the one command that is imported for them."""
    parser = argparse.ArgumentParser(
        prog="sacbe", description="A data-exchange node that speaks X-Road, and what belongs to it."
    )
    parser.add_argument(
        "--version", action="version", version=f"sacbe {importlib.metadata.version('sacbe')}"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, meaning in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}."
        )
        if name == chosen:
            module = importlib.import_module(f"scripts.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(words)


def _in_words(error: OSError) -> str:
    """What the operating system refused: the file, where it names one, and the reason."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


if __name__ == "__main__":
    sys.exit(main())
