"""Create keys and certificate requests, import certificates, show what a store holds."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.arguments import add_action, client_id, server_id
from scripts.trustlist import load_trust_list
from trust.errors import ExchangeError, MalformedMessage, SacbeError, StorageError
from trust.pki.certificates import describe
from trust.pki.keys import KEY_TYPES
from trust.pki.keystore import KeyEntry, KeyStore
from trust.pki.profiles import PROFILES, profile_named
from trust.pki.subjects import Applicant, subject_for_auth, subject_for_sign
from trust.secrets import read_secret

_MAX_CERTIFICATE_BYTES = 64 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = add_action(actions, "create", "make a key")
    create.add_argument(
        "--use",
        choices=("auth", "sign"),
        required=True,
        help="auth: shows other nodes who this one is; sign: signs a member's messages",
    )
    create.add_argument("--type", choices=KEY_TYPES, default="p256", help="default %(default)s")
    create.add_argument("--label", default="", help="a name for people")
    add_action(actions, "list", "show the keys and their certificates")
    csr = add_action(actions, "csr", "write a certificate request for a key")
    csr.add_argument("key", metavar="KEY", help="the key's id")
    csr.add_argument(
        "--profile",
        type=_profile,
        required=True,
        help="the CA's, as the trust list names it: Basic, Ejbca, FiVRK …",
    )
    csr.add_argument(
        "--server",
        type=server_id,
        required=True,
        metavar="INSTANCE:CLASS:CODE:SERVER",
        help="this node",
    )
    csr.add_argument(
        "--member",
        type=client_id,
        metavar="INSTANCE:CLASS:CODE",
        help="whose messages a sign key signs; default: the server's owner",
    )
    csr.add_argument("--name", required=True, help="the member's name")
    csr.add_argument("--country", default="", metavar="XX", help="where the profile wants one")
    csr.add_argument("--dns", default="", metavar="HOST", help="the node's DNS name")
    csr.add_argument("--out", type=Path, required=True, metavar="FILE", help="PEM is written here")
    imported = add_action(actions, "import", "keep a certificate with its key")
    imported.add_argument("file", type=Path, metavar="FILE", help="DER or PEM")
    imported.add_argument(
        "--conf",
        required=True,
        metavar="DIR|ANCHOR|URL",
        help="the trust list that must approve its CA: the node's data/globalconf, or the anchor",
    )
    for name, help_text in (
        ("activate", "let a key be used"),
        ("deactivate", "keep a key from being used"),
    ):
        switch = add_action(actions, name, help_text)
        switch.add_argument("key", metavar="KEY", help="the key's id")
    for action in actions.choices.values():
        action.add_argument(
            "--store", type=Path, required=True, metavar="DIR", help="folder of the keys"
        )
        action.add_argument(
            "--password-file", type=Path, required=True, metavar="FILE", help="what opens them"
        )


def _profile(text: str) -> str:
    try:
        return profile_named(text)
    except MalformedMessage as error:
        known = ", ".join(sorted(profile.rpartition(".")[2] for profile in PROFILES))
        raise argparse.ArgumentTypeError(f"{error}; known are {known}") from error


def run(arguments: argparse.Namespace) -> int:
    store = KeyStore.open(arguments.store, read_secret(arguments.password_file))
    try:
        return int(_ACTIONS[arguments.action](store, arguments))
    except ExchangeError as error:
        print(f"sacbe key {arguments.action}: {error.code}: {error}", file=sys.stderr)
        return 1


def _create(store: KeyStore, arguments: argparse.Namespace) -> int:
    entry = store.create_key(arguments.use, arguments.type, arguments.label)
    print(entry.id)
    return 0


def _list(store: KeyStore, _arguments: argparse.Namespace) -> int:
    if not store.entries:
        print("The store holds no keys.")
    for entry in sorted(store.entries, key=lambda each: (each.created, each.use, each.id)):
        print(f"{entry.id}  {entry.use}  {entry.key.type_name:14}  {entry.label}")
        print(f"    {_state(entry)}")
        if entry.certificate is not None:
            print(f"    {describe(entry.certificate)}")
    return 0


def _state(entry: KeyEntry) -> str:
    if entry.certificate is None:
        state = "certificate requested" if entry.requested else "no certificate"
    else:
        until = entry.certificate.not_valid_after_utc
        state = f"certified until {until:%Y-%m-%d %H:%M} UTC"
    if entry.member is not None:
        state += f" for {entry.member}"
    return state if entry.active else f"{state}, not active"


def _csr(store: KeyStore, arguments: argparse.Namespace) -> int:
    entry = store.entry(arguments.key)
    member = arguments.member or arguments.server.owner
    who = Applicant(member, arguments.server, arguments.name, arguments.country, arguments.dns)
    propose = subject_for_sign if entry.use == "sign" else subject_for_auth
    try:
        subject = propose(arguments.profile, who)
    except MalformedMessage as error:
        raise SacbeError(f"{error}; they come from --name, --country and --dns") from error
    request = x509.load_der_x509_csr(store.request(entry.id, subject))
    arguments.out.write_bytes(request.public_bytes(Encoding.PEM))
    print(arguments.out)
    return 0


def _import(store: KeyStore, arguments: argparse.Namespace) -> int:
    try:
        with arguments.file.open("rb") as file:
            data = file.read(_MAX_CERTIFICATE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{arguments.file} can't be read: {error.strerror}") from error
    try:
        conf = load_trust_list(arguments.conf)
    except SacbeError as error:
        raise StorageError(f"--conf: {error}") from error
    entry = store.import_certificate(data, conf, datetime.now(UTC))
    print(f"{entry.id}  {_state(entry)}")
    return 0


def _activate(store: KeyStore, arguments: argparse.Namespace) -> int:
    entry = store.set_active(arguments.key, arguments.action == "activate")
    print(f"{entry.id}  {_state(entry)}")
    return 0


_ACTIONS = {
    "create": _create,
    "list": _list,
    "csr": _csr,
    "import": _import,
    "activate": _activate,
    "deactivate": _activate,
}
