"""`sacbe conf check`: verdict, code and exit status for everything in the INDEX of the vectors."""

import argparse
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.conf import add_arguments, run
from tests.pki import NOON
from tests.published import Publisher
from tests.vector_files import vector_path
from trust.configuration.confdirectory import DirectoryEntry
from trust.configuration.confpublish import build_anchor, build_shared_parameters
from trust.digests import SHA512_URI, digest
from trust.globalconf import Anchor, AnchorSource

Answer = dict[str, object]


def _check(
    capsys: pytest.CaptureFixture[str], *words: str | Path, at: str = "2026-11-01T00:00:00Z"
) -> tuple[int, list[Answer]]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    status = run(parser.parse_args(["check", "--json", "--at", at, *map(str, words)]))
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _one(
    capsys: pytest.CaptureFixture[str], *words: str | Path, at: str = "2026-11-01T00:00:00Z"
) -> Answer:
    status, answers = _check(capsys, *words, at=at)
    (answer,) = answers
    assert set(answer) == {
        "file", "verdict", "code", "reason", "instance", "version", "expires",
    }  # fmt: skip
    assert answer["file"] == str(words[-1])
    assert status == (0 if answer["verdict"] == "passed" else 1)
    return answer


DEFECT = {
    "V3": "malformed_global_conf",
    "digest": "global_conf_part_downloaded_file_integrity_failure",
    "signer": "global_conf_missing_verification_cert",
}
SIGNED = [
    ("first", 3, "internalconf", "2034-04-09T00:36:51Z", "V3"),
    ("first", 3, "externalconf", "2034-04-09T00:36:51Z", "V3"),
    ("first", 4, "internalconf", "2034-05-30T06:46:02Z", ""),
    ("first", 4, "externalconf", "2034-05-30T06:46:02Z", ""),
    ("first", 5, "internalconf", "2035-03-01T14:39:11Z", ""),
    ("first", 5, "externalconf", "2035-03-01T14:39:11Z", ""),
    ("first", 6, "internalconf", "2035-11-11T03:07:40Z", "signer"),
    ("first", 6, "externalconf", "2035-11-11T03:07:40Z", "digest"),
    ("rotated", 3, "internalconf", "2034-04-09T00:37:51Z", "V3"),
    ("rotated", 3, "externalconf", "2034-04-09T00:37:51Z", "V3"),
    ("rotated", 4, "internalconf", "2034-05-30T06:46:32Z", ""),
    ("rotated", 4, "externalconf", "2034-05-30T06:46:32Z", ""),
    ("rotated", 5, "internalconf", "2035-03-01T14:38:31Z", ""),
    ("rotated", 5, "externalconf", "2035-03-01T14:38:31Z", ""),
    ("rotated", 6, "internalconf", "2035-11-11T03:08:40Z", ""),
    ("rotated", 6, "externalconf", "2035-11-11T03:08:40Z", ""),
]


@pytest.mark.parametrize(("generation", "version", "kind", "expires", "defect"), SIGNED)
def test_signed_directories_by_the_list_beside_them(
    capsys: pytest.CaptureFixture[str],
    generation: str,
    version: int,
    kind: str,
    expires: str,
    defect: str,
) -> None:
    path = vector_path(f"globalconf/signed/{generation}/V{version}/{kind}")
    answer = _one(capsys, path)
    assert answer["verdict"] == ("failed" if defect else "passed")
    assert answer["code"] == DEFECT.get(defect)
    assert answer["instance"] == ("CS" if version == 3 else "DEV")
    assert answer["version"] == version
    assert answer["expires"] == expires


def test_signed_directories_by_the_anchor(capsys: pytest.CaptureFixture[str]) -> None:
    anchor = vector_path("globalconf/anchors/system-test-internal.xml")
    first = vector_path("globalconf/signed/first/V6/internalconf")
    rotated = vector_path("globalconf/signed/rotated/V6/internalconf")
    assert _one(capsys, "--anchor", anchor, first)["verdict"] == "passed"
    assert _one(capsys, "--anchor", anchor, rotated)["code"] == DEFECT["signer"]


def _consumer_anchor(folder: Path, name: str) -> Path:
    pem = vector_path(f"globalconf/parser/certs/{name}.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    source = AnchorSource("http://example.test/internalconf", (der,))
    path = folder / f"{name}.xml"
    path.write_bytes(build_anchor(Anchor("EE", (source,))))
    return path


MAY = "2026-05-01T00:00:00Z"


@pytest.mark.parametrize(
    ("name", "signer", "at", "code"),
    [
        ("test-conf-simple", "consumer", MAY, None),
        ("test-conf-simple", "consumer", "2026-11-01T00:00:00Z", "global_conf_outdated"),
        ("test-conf-simple", "producer", MAY, "global_conf_missing_verification_cert"),
        ("test-conf-detached", "consumer", MAY, None),
        ("test-conf-detached", "consumer", "2026-11-01T00:00:00Z", "global_conf_outdated"),
        ("test-conf-missing-date", "consumer", MAY, "global_conf_header_field_missing"),
        (
            "test-conf-malformed",
            "consumer",
            MAY,
            "global_conf_missing_signed_data_expiration_date",
        ),
        (
            "test-conf-missing-signature",
            "consumer",
            MAY,
            "global_conf_signature_verification_failure",
        ),
    ],
)
def test_the_parsers_samples(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    signer: str,
    at: str,
    code: str | None,
) -> None:
    anchor = _consumer_anchor(tmp_path, signer)
    path = vector_path(f"globalconf/parser/{name}.txt")
    answer = _one(capsys, "--anchor", anchor, path, at=at)
    assert answer["code"] == code
    assert answer["verdict"] == ("passed" if code is None else "failed")


@pytest.mark.parametrize(
    ("name", "instance", "version", "expires"),
    [
        ("globalconf_good_v2", "EE", 2, "2124-05-20T17:42:55Z"),
        ("globalconf_good_v3", "EE", 3, "2124-05-20T17:42:55Z"),
        ("globalconf_good_v4", "EE", 4, "2124-05-20T17:42:55Z"),
        ("globalconf_good_v5", "EE", 5, "2124-05-20T17:42:55Z"),
        ("globalconf_good_v6", "EE", 6, "2124-05-20T17:42:55Z"),
        ("globalconf_good2_v3", "DEV", 3, None),
        ("signer_int_test", "DEV", 6, "2035-11-07T04:52:26Z"),
        ("cs_admin_int_test", "EE", 2, "2124-05-20T17:42:55Z"),
        ("cs_management_int_test", "EE", 2, "2124-05-20T17:42:55Z"),
        ("ss_admin_int_test", "EE", 2, "2124-05-20T17:42:55Z"),
    ],
)
def test_trees_that_hold(
    capsys: pytest.CaptureFixture[str],
    name: str,
    instance: str,
    version: int,
    expires: str | None,
) -> None:
    answer = _one(capsys, vector_path(f"globalconf/dirs/{name}"))
    assert (answer["verdict"], answer["code"]) == ("passed", None)
    assert (answer["instance"], answer["version"]) == (instance, version)
    assert answer["expires"] == expires


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("globalconf_malformed", "malformed_global_conf", "foo: "),
        ("globalconf_empty", "malformed_global_conf", "no shared parameters of EE"),
        ("globalconf_missing_identifier", "malformed_global_conf", "instance-identifier"),
        ("messagelog_addon", "conf_verification.missing_private_params", "no private"),
    ],
)
def test_trees_that_fail(
    capsys: pytest.CaptureFixture[str], name: str, code: str, reason: str
) -> None:
    answer = _one(capsys, vector_path(f"globalconf/dirs/{name}"))
    assert (answer["verdict"], answer["code"]) == ("failed", code)
    assert reason in str(answer["reason"])


def test_a_tree_past_its_expiry_fails(capsys: pytest.CaptureFixture[str]) -> None:
    tree = vector_path("globalconf/dirs/globalconf_good_v6")
    answer = _one(capsys, tree, at="2124-05-20T17:42:56Z")
    assert answer["code"] == "global_conf_outdated"
    assert _one(capsys, tree, at="2124-05-20T17:42:55Z")["verdict"] == "passed"


def test_a_tree_of_another_instance_than_the_anchor_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    anchor = vector_path("globalconf/anchors/system-test-internal.xml")
    tree = vector_path("globalconf/dirs/globalconf_good_v6")
    answer = _one(capsys, "--anchor", anchor, tree)
    assert answer["code"] == "global_conf_part_invalid_instance_identifier"
    assert _one(capsys, "--anchor", anchor, vector_path("globalconf/dirs/signer_int_test"))[
        "verdict"
    ] == ("passed")


def test_anchors(capsys: pytest.CaptureFixture[str]) -> None:
    folder = vector_path("globalconf/anchors")
    for path in sorted(folder.iterdir()):
        answer = _one(capsys, path)
        valid = path.name != "cs-trusted-anchor-invalid-1.xml"
        assert answer["verdict"] == ("passed" if valid else "failed"), path.name
        assert answer["code"] == (None if valid else "malformed_anchor")
        assert bool(answer["instance"]) is valid


def test_optional_parts(capsys: pytest.CaptureFixture[str]) -> None:
    folder = vector_path("globalconf/optional-parts")
    for path in sorted(folder.glob("*.xml")):
        bad = path.name.startswith("invalid") or path.name in (
            "empty-fetchinterval-params.xml",
            "empty-nextupdate-params.xml",
        )
        assert _one(capsys, path)["verdict"] == ("failed" if bad else "passed"), path.name


def test_parts_by_the_version_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    (published,) = vector_path("globalconf/signed/first/V3").glob("*/shared-params.xml")
    assert _one(capsys, published)["code"] == "malformed_global_conf"
    stored = vector_path("globalconf/dirs/globalconf_good_v4/baz_v3/shared-params.xml")
    assert _one(capsys, stored)["version"] == 3


EXAMPLE = "2026-11-21T16:55:00Z"


def test_worked_example(capsys: pytest.CaptureFixture[str]) -> None:
    root = vector_path("globalconf/worked-example")
    for words in (
        ["--anchor", root / "anchor-internal.xml", root / "V6" / "internalconf"],
        [root / "V6" / "internalconf"],
        [root / "V6" / "externalconf"],
        ["--anchor", root / "confproxy" / "anchor.xml", root / "confproxy" / "PROXY1" / "conf-v6"],
        [root / "confproxy" / "PROXY1" / "conf-v6"],
        [root / "on-disk"],
    ):
        answer = _one(capsys, *words, at=EXAMPLE)
        assert answer["verdict"] == "passed", words
        assert (answer["instance"], answer["version"]) == ("TEST", 6)
        assert answer["expires"] == "2026-11-21T17:00:00Z"
        assert _one(capsys, *words)["verdict"] == "passed"  # weeks before it was made: not expired
        assert _one(capsys, *words, at="2026-11-21T17:00:01Z")["code"] == "global_conf_outdated"
    for anchor in (root / "anchor-internal.xml", root / "confproxy" / "anchor.xml"):
        assert _one(capsys, anchor)["verdict"] == "passed"


# Our own.


def _published(folder: Path, publisher: Publisher) -> Path:
    for name, raw in publisher.publish(NOON).items():
        path = folder / name.lstrip("/").replace("internalconf?version=", "V").replace(
            "externalconf?version=", "V"
        )
        if "conf?version=" in name:
            path = path / name.lstrip("/").split("?")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return folder


def test_a_web_root_is_judged_directory_by_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = _published(tmp_path, Publisher(versions=[5, 6]))
    status, answers = _check(capsys, root, at=NOON.isoformat())
    assert status == 0
    names = [str(answer["file"]).removeprefix(f"{root}/") for answer in answers]
    assert names == ["V5/internalconf", "V5/externalconf", "V6/internalconf", "V6/externalconf"]
    status, answers = _check(capsys, root / "V6", at=(NOON + timedelta(hours=1)).isoformat())
    assert status == 1
    assert [answer["code"] for answer in answers] == ["global_conf_outdated"] * 2


def test_a_directory_without_its_parts_can_not_be_judged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    publisher = Publisher()
    root = _published(tmp_path, publisher)
    anchor = tmp_path / "anchor.xml"
    anchor.write_bytes(build_anchor(publisher.anchor()))
    (private,) = root.glob("V6/*/private-params.xml")
    private.unlink()
    words = ("--anchor", anchor, root / "V6" / "internalconf")
    answer = _one(capsys, *words, at=NOON.isoformat())
    assert answer["verdict"] == "indeterminate"
    assert answer["code"] == "global_conf_part_download_failure"
    assert answer["reason"] == "Not found beside the directory: PRIVATE-PARAMETERS of TEST"


def test_a_directory_without_any_certificate_can_not_be_judged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = _published(tmp_path, Publisher())
    for part in root.glob("V6/*/*.xml"):
        part.unlink()
    answer = _one(capsys, root / "V6" / "internalconf", at=NOON.isoformat())
    assert answer["verdict"] == "indeterminate"
    assert answer["code"] == "global_conf_missing_verification_cert"
    assert answer["expires"] == "2026-11-21T12:10:00Z"


def _anchored(
    folder: Path, publisher: Publisher, entry: DirectoryEntry, raw: bytes, anchor: Anchor
) -> tuple[str | Path, ...]:
    (folder / "x.xml").write_bytes(raw)
    (folder / "internalconf").write_bytes(publisher.sign([entry], NOON))
    (folder / "anchor.xml").write_bytes(build_anchor(anchor))
    return "--anchor", folder / "anchor.xml", folder / "internalconf"


def test_lists_of_another_instance_fail(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    publisher = Publisher()
    raw = build_shared_parameters(Publisher("PEER").shared)
    entry = DirectoryEntry("SHARED-PARAMETERS", "TEST", "/x.xml", digest(SHA512_URI, raw))
    words = _anchored(tmp_path, publisher, entry, raw, publisher.anchor())
    answer = _one(capsys, *words, at=NOON.isoformat())
    assert answer["code"] == "global_conf_part_invalid_instance_identifier"
    stranger = replace(publisher.anchor(), instance="OTHER")
    words = _anchored(tmp_path, publisher, entry, raw, stranger)
    assert "no part of OTHER" in str(_one(capsys, *words, at=NOON.isoformat())["reason"])


def test_locations_do_not_lead_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    publisher = Publisher()
    (tmp_path / "secret.xml").write_bytes(b"secret")
    (tmp_path / "a" / "b").mkdir(parents=True)
    entry = DirectoryEntry("X", "TEST", "/../secret.xml", digest(SHA512_URI, b"secret"))
    words = _anchored(tmp_path / "a" / "b", publisher, entry, b"", publisher.anchor())
    assert _one(capsys, *words, at=NOON.isoformat())["verdict"] == "indeterminate"


def test_what_is_not_there_is_unreadable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, answers = _check(capsys, tmp_path / "nowhere")
    assert status == 2
    assert answers[0]["verdict"] == "indeterminate"
    assert answers[0]["code"] == "io_error"
    status, answers = _check(capsys, "--anchor", tmp_path / "nowhere", tmp_path)
    assert (status, answers) == (2, [])
    (tmp_path / "bad.xml").write_text("<x/>")
    assert _check(capsys, "--anchor", tmp_path / "bad.xml", tmp_path)[0] == 2


def test_text_for_people_names_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    folder = vector_path("globalconf/signed/first/V6")
    words = ["check", "--at", "2026-11-01", str(folder / "externalconf")]
    assert run(parser.parse_args(words)) == 1
    text = capsys.readouterr().out
    assert text.startswith("FAILED  ")
    assert "another digest" in text
    assert "DEV, version 6" in text
    assert "2035-11-11T03:07:40Z" in text


@pytest.mark.parametrize("word", ["soon", "", "2026-13-01"])
def test_a_bad_time_is_bad_usage(word: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["check", "--at", word, "x"])
    assert caught.value.code == 2
