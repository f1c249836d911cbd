"""Judges from elsewhere: the JDK reads our containers and verifies their signatures."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.containers import batch_stamped, plain, stamped, with_bodies
from tests.pki import Pki
from tests.signing import Signatory
from trust.evidence.asic import Container, build_container
from trust.pki.keys import KeyType

_JUDGE = Path(__file__).parent / "judges" / "VerifyContainer.java"
_KINDS: tuple[KeyType, ...] = ("p256", "rsa2048")


def _containers() -> dict[str, Container]:
    found = {}
    for kind in _KINDS:
        signatory = Signatory(Pki(kind=kind))
        found[f"plain-{kind}"] = plain(signatory)
        found[f"bodies-{kind}"] = with_bodies(signatory)
        found[f"stamped-{kind}"] = stamped(signatory, plain(signatory))
        found[f"batch-{kind}"] = batch_stamped(signatory, with_bodies(signatory))
    return found


def _java() -> str:
    program = shutil.which("java")
    if program is None:
        pytest.skip("no java here")
    return program


def test_the_jdk_accepts_our_containers_and_refuses_changed_ones(tmp_path: Path) -> None:
    """One start of the JVM for all: it reads by ZipInputStream, as X-Road does."""
    java = _java()
    files = []
    for name, container in _containers().items():
        good, bad = tmp_path / f"{name}.good", tmp_path / f"{name}.bad"
        good.write_bytes(build_container(container))
        changed = container.message.replace(b"registry", b"registri")
        assert changed != container.message
        signed = Container(changed, container.signature, attachments=container.attachments)
        bad.write_bytes(build_container(signed))
        files += [good, bad]
    answer = subprocess.run(
        [java, "-Xshare:auto", str(_JUDGE), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No compiler" in answer.stderr or "jdk.compiler" in answer.stderr:
        pytest.skip("this java can't run source files")
    expected = [f"{'valid' if file.suffix == '.good' else 'invalid'} {file}" for file in files]
    assert answer.stdout.splitlines() == expected, answer.stderr
