"""`sacbe verify`: its exit codes, its JSON, its words, and where it takes the trust list from."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest

from scripts import cli, trustlist, verify
from tests.containers import chained, plain, stamped
from tests.pki import NOON, Pki
from tests.published import Publisher
from tests.signing import MESSAGE, Signatory
from tests.vector_files import vector_path
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.confpublish import build_anchor, build_shared_parameters
from trust.configuration.confset import ConfigurationSet, Part
from trust.configuration.confstore import verification_zip
from trust.evidence.asic import build_container
from trust.globalconf import GlobalConf

_CONTAINERS = "asic/src/tool/asic-verifier-cli/src/test/resources"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"


def _verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["verify", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _objects(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def conf() -> Path:
    return vector_path(_CONF)


@pytest.mark.interop
def test_a_good_container_gives_0_and_its_object(
    capsys: pytest.CaptureFixture[str], conf: Path
) -> None:
    file = vector_path(f"{_CONTAINERS}/valid-signed-hashchain.asice")
    code, out, err = _verify(capsys, file, "--conf", conf, "--json")
    (found,) = _objects(out)
    assert (code, err) == (0, "")
    checks = found.pop("checks")
    assert found == {
        "file": str(file),
        "verdict": "passed",
        "code": None,
        "reason": None,
        "indication": "TOTAL-PASSED",
        "sub_indication": None,
        "level": "signature and time",
        "signer": "DEV/COM/4321",
        "signed_at": "2024-12-05T12:37:37.117Z",
        "timestamp": "2024-12-05T12:37:50Z",
        "parts": [
            {"name": "/message.xml", "covered": True},
            {"name": "/attachment1", "covered": False},
        ],
    }
    assert isinstance(checks, list)
    assert {"name", "outcome", "detail"} == set(checks[0])
    assert {check["outcome"] for check in checks} == {"passed", "warning"}


@pytest.mark.interop
def test_one_bad_container_among_good_ones_gives_1(
    capsys: pytest.CaptureFixture[str], conf: Path
) -> None:
    names = ("valid-batch-ts", "wrong-message", "valid-signed-message")
    files = [vector_path(f"{_CONTAINERS}/{name}.asice") for name in names]
    code, out, _ = _verify(capsys, *files, "--conf", conf, "--json")
    assert code == 1
    assert [(o["verdict"], o["code"]) for o in _objects(out)] == [
        ("passed", None),
        ("failed", "invalid_signature_value"),
        ("passed", None),
    ]


_ARCHIVES = "asic/src/addons/messagelog/messagelog-archive-verifier/src/test/resources"
_AFTER_0 = (
    "9011ab557706b5050584d6888af7b390e5350f4edad296bd7a582aa51732aac7"
    "f49a4ec44dd361027945ade0de8b8cf607fb7b7d11f17b0560d44b965c358eaa"
)


@pytest.mark.interop
def test_a_container_that_cant_be_judged_gives_1(
    capsys: pytest.CaptureFixture[str], conf: Path
) -> None:
    """Containers in an archive file are judged one by one, and then the file."""
    file = vector_path(f"{_ARCHIVES}/message-archive-1.zip")
    code, out, _ = _verify(capsys, file, "--previous", _AFTER_0, "--conf", conf, "--json")
    *objects, archive = _objects(out)
    assert code == 1
    assert len(objects) == 20
    assert {found["verdict"] for found in objects} == {"indeterminate"}
    assert {found["sub_indication"] for found in objects} == {"NO_CERTIFICATE_CHAIN_FOUND"}
    assert str(objects[0]["file"]).endswith("message-archive-1.zip:ID1234-request-3.asice")
    assert archive["verdict"] == "indeterminate"
    assert archive["containers"] == {"indeterminate": 20}


@pytest.mark.interop
@pytest.mark.parametrize(
    ("files", "options", "code", "reason"),
    [
        (["message-archive-0"], ["--first"], 0, None),
        (["message-archive-0"], ["-f"], 0, None),
        (["message-archive-1"], ["--previous", _AFTER_0], 0, None),
        (["message-archive-1"], ["--previous", _AFTER_0.upper()], 0, None),
        (["message-archive-0", "message-archive-1"], ["--first"], 0, None),
        (["message-archive-1"], ["--previous", "4145" + _AFTER_0[4:]], 1, "continues"),
        (["message-archive-1"], ["--first"], 1, "first of its group"),
        (["message-archive-1", "message-archive-0"], ["--previous", _AFTER_0], 1, "first of"),
        (["message-archive-1"], [], 2, None),
        (["message-archive-1"], ["--previous", "digest"], 2, None),
    ],
)
def test_the_chain_of_archive_files_has_the_reference_s_verdicts(
    capsys: pytest.CaptureFixture[str],
    files: list[str],
    options: list[str],
    code: int,
    reason: str | None,
) -> None:
    paths = [vector_path(f"{_ARCHIVES}/{name}.zip") for name in files]
    found, out, err = _verify(capsys, *paths, *options, "--links-only", "--json")
    assert found == code, out + err
    if code == 1:
        worst = [each for each in _objects(out) if each["verdict"] == "failed"]
        assert [each["code"] for each in worst] == ["archive_wrong_previous"]
        assert reason is not None
        assert reason in str(worst[0]["reason"])
        assert (worst[0]["indication"], worst[0]["sub_indication"]) == (
            "TOTAL-FAILED", "HASH_FAILURE",
        )  # fmt: skip


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("mlog-WITH_LINKINGINFO", 0),
        ("mlog-WITH_INVALID_LINKINGINFO", 1),
        ("mlog-NO_LINKINGINFO", 1),
        ("mlog-NO_ASIC_CONTAINERS", 1),
        ("mlog-EXCESSIVE_FILES_IN_LINKINGINFO", 1),
    ],
)
def test_damaged_archive_files_of_the_reference_fail(
    capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    folder = "asic/src/addons/messagelog/messagelog-addon/src/test/resources/logarchive"
    path = vector_path(f"{folder}/{name}.zip")
    found, out, err = _verify(capsys, path, "--first", "--links-only")
    assert (found, err) == (code, ""), out


@pytest.mark.interop
@pytest.mark.parametrize(
    ("token", "altered", "code", "sub"),
    [
        ("valid", False, 0, None),
        ("valid", True, 1, "HASH_FAILURE"),
        ("invalid-signature", False, 1, "SIG_CRYPTO_FAILURE"),
        ("stamped-data", False, 1, "FORMAT_FAILURE"),
    ],
)
def test_bare_time_stamps_have_the_reference_s_verdicts(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    token: str,
    altered: bool,
    code: int,
    sub: str | None,
) -> None:
    folder = "asic/src/lib/globalconf-impl/src/test/timestamps"
    conf = vector_path("asic/src/lib/globalconf-core/src/test/resources/globalconf_good_v2")
    raw = bytearray(vector_path(f"{folder}/stamped-data").read_bytes())
    if altered:
        raw[42] ^= 1
    data = tmp_path / "data"
    data.write_bytes(raw)
    arguments = (vector_path(f"{folder}/{token}"), "--data", data, "--conf", conf)
    found, out, _ = _verify(capsys, *arguments, "--json")
    (object_,) = _objects(out)
    assert (found, object_["sub_indication"]) == (code, sub)
    if code == 0:
        assert object_["timestamp"] == "2012-11-29T13:10:04Z"
    assert _verify(capsys, *arguments)[0] == code


@pytest.mark.interop
def test_what_can_not_be_read_gives_2_and_a_sentence(
    capsys: pytest.CaptureFixture[str], conf: Path, tmp_path: Path
) -> None:
    good = vector_path(f"{_CONTAINERS}/valid-batch-ts.asice")
    code, out, err = _verify(capsys, tmp_path / "absent", tmp_path, good, "--conf", conf)
    assert code == 2
    assert out.startswith("PASSED")
    assert len(err.splitlines()) == 2
    assert "absent can't be read: No such file" in err
    code, out, _ = _verify(capsys, tmp_path / "absent", "--conf", conf, "--json")
    assert (code, _objects(out)[0]["verdict"]) == (2, "indeterminate")


@pytest.mark.interop
@pytest.mark.parametrize("content", [b"", b"hello", bytes(100)])
def test_what_is_no_container_was_read_and_judged(
    capsys: pytest.CaptureFixture[str], conf: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "text"
    file.write_bytes(content)
    code, out, err = _verify(capsys, file, "--conf", conf)
    assert (code, err) == (1, "")
    assert out.startswith(f"FAILED  {file}\n  because     The file is no ZIP file")
    code, out, _ = _verify(capsys, file, "--conf", conf, "--json")
    assert (code, _objects(out)[0]["code"]) == (1, "asic_mime_type_not_found")


@pytest.mark.interop
def test_a_damaged_container_gives_1(
    capsys: pytest.CaptureFixture[str], conf: Path, tmp_path: Path
) -> None:
    raw = vector_path(f"{_CONTAINERS}/valid-batch-ts.asice").read_bytes()
    damaged = tmp_path / "damaged.asice"
    damaged.write_bytes(raw[:4000])
    code, out, err = _verify(capsys, damaged, "--conf", conf, "--json")
    assert (code, err) == (1, "")
    assert _objects(out)[0]["code"] == "asic_invalid_container"


# --- the trust list -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


@pytest.fixture
def trusted(signatory: Signatory, tmp_path: Path) -> Path:
    """The trust list of the small PKI, as a node would hand it out."""
    own = signatory.conf.own
    written = replace(own, shared_raw=build_shared_parameters(own.shared))
    path = tmp_path / "verificationconf.zip"
    path.write_bytes(
        verification_zip(replace(signatory.conf, instances=MappingProxyType({"TEST": written})))
    )
    return path


def test_a_container_without_time_stamp_is_judged_at_the_time_given(
    capsys: pytest.CaptureFixture[str], signatory: Signatory, trusted: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ours.asice"
    file.write_bytes(build_container(chained(signatory)))
    at = NOON.replace(tzinfo=None).isoformat()
    code, out, _ = _verify(capsys, file, "--conf", trusted, "--at", at)
    assert code == 0
    assert out.splitlines()[0] == f"PASSED  {file}"
    assert "  signed by   TEST/GOV/1001" in out
    assert "judged for 2026-11-21 12:00:00Z" in out
    code, out, _ = _verify(capsys, file, "--conf", trusted, "--at", "2031-01-01T00:00:00+02:00")
    assert code == 1
    assert out.splitlines()[0] == f"FAILED  {file}"
    assert out.splitlines()[1].startswith("  because     ")
    assert "  try  " not in out


def test_who_judges_an_old_container_for_now_is_told_of_its_moment(
    capsys: pytest.CaptureFixture[str], signatory: Signatory, trusted: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ours.asice"
    file.write_bytes(build_container(chained(signatory)))
    code, out, _ = _verify(capsys, file, "--conf", trusted)
    assert code == 1
    *_, advice = out.splitlines()[:-1]
    assert advice.startswith("  try         --at 2026-11-21T12:00:00Z")
    _, _, moment, *_ = advice.replace(",", "").split()
    assert _verify(capsys, file, "--conf", trusted, "--at", moment)[0] == 0
    file.write_bytes(file.read_bytes().replace(b"mimetype=", b"mimetypf="))
    assert "  try  " not in _verify(capsys, file, "--conf", trusted)[1]


def test_text_from_a_container_does_not_move_the_cursor(
    capsys: pytest.CaptureFixture[str], signatory: Signatory, trusted: Path, tmp_path: Path
) -> None:
    message = MESSAGE.replace(b"TEST/GOV/1001", b"TEST/GOV/%1B%5B2J1001")
    file = tmp_path / "odd\x1b.asice"
    file.write_bytes(build_container(plain(signatory, message)))
    code, out, _ = _verify(capsys, file, "--conf", trusted, "--at", NOON.isoformat())
    assert code == 1
    assert "\x1b" not in out
    assert "TEST/GOV/?[2J1001" in out


def test_a_changed_container_in_a_zip_is_told_by_its_name(
    capsys: pytest.CaptureFixture[str], signatory: Signatory, trusted: Path, tmp_path: Path
) -> None:
    good = build_container(stamped(signatory, plain(signatory)))
    target = tmp_path / "both.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a-request-1.asice", good)
        archive.writestr("a-response-2.asice", good.replace(b"mimetype=", b"mimetypf="))
    code, out, _ = _verify(capsys, target, "--conf", trusted, "--json")
    assert code == 1
    assert [(found["file"], found["verdict"]) for found in _objects(out)] == [
        (f"{target}:a-request-1.asice", "passed"),
        (f"{target}:a-response-2.asice", "failed"),
    ]


def test_a_damaged_zip_of_containers_gives_1(
    capsys: pytest.CaptureFixture[str], signatory: Signatory, trusted: Path, tmp_path: Path
) -> None:
    raw = build_container(plain(signatory))
    target = tmp_path / "one.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a-request-1.asice", raw)
    target.write_bytes(target.read_bytes().replace(raw, raw[:-1] + b"!"))
    code, out, _ = _verify(capsys, target, "--conf", trusted, "--json")
    assert (code, _objects(out)[0]["code"]) == (1, "asic_invalid_container")


def test_containers_that_unpack_to_too_much_together_fail_with_a_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    signatory: Signatory,
    trusted: Path,
    tmp_path: Path,
) -> None:
    good = build_container(stamped(signatory, plain(signatory)))
    with zipfile.ZipFile(io.BytesIO(good)) as container:
        whole = len(good) + sum(info.file_size for info in container.infolist())
    target = tmp_path / "three.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in (1, 2, 3):
            archive.writestr(f"a-request-{number}.asice", good)
    for most, verdicts in (
        (3 * whole, ["passed", "passed", "passed"]),
        (3 * whole - 1, ["passed", "passed", "failed"]),
        (2 * whole - 1, ["passed", "failed"]),
        (len(good) - 1, ["failed"]),
    ):
        monkeypatch.setattr(verify, "MAX_UNPACKED_BYTES", most)
        code, out, _ = _verify(capsys, target, "--conf", trusted, "--json")
        objects = _objects(out)
        assert [found["verdict"] for found in objects] == verdicts
        assert code == (1 if "failed" in verdicts else 0)
        if code:
            assert objects[-1]["code"] == "asic_invalid_container"
            assert f"more than {most} bytes; nothing from here on" in str(objects[-1]["reason"])


def _check_conf(conf: GlobalConf) -> None:
    assert conf.own_instance == "DEV"
    assert conf.own.shared.approved_tsas


@pytest.mark.interop
def test_a_saved_download_is_a_trust_list(conf: Path, tmp_path: Path) -> None:
    download = tmp_path / "verificationconf.zip"
    download.write_bytes(verification_zip(trustlist.load_trust_list(str(conf))))
    _check_conf(trustlist.load_trust_list(str(download)))
    with zipfile.ZipFile(download) as archive:
        archive.extractall(tmp_path / "unpacked")
    _check_conf(trustlist.load_trust_list(str(tmp_path / "unpacked")))
    _check_conf(trustlist.load_trust_list(str(tmp_path / "unpacked" / "verificationconf")))


@contextmanager
def _served(answers: dict[str, bytes]) -> Iterator[str]:
    """A plain server of some paths, on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.interop
def test_a_nodes_address_is_a_trust_list(conf: Path) -> None:
    download = verification_zip(trustlist.load_trust_list(str(conf)))
    with _served({"/verificationconf": download}) as address:
        _check_conf(trustlist.load_trust_list(f"{address}/verificationconf"))


def test_an_anchor_leads_to_a_verified_trust_list(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers: dict[str, bytes] = {}
    file = tmp_path / "anchor.xml"
    with _served(answers) as address:
        publisher = Publisher(address=address.removeprefix("http://"))
        file.write_bytes(build_anchor(publisher.anchor()))
        code, _, err = _verify(capsys, "x", "--conf", file)
        assert code == 2
        assert "No configuration of TEST" in err
        answers.update(publisher.publish(datetime.now(UTC)))
        conf = trustlist.load_trust_list(str(file))
    assert conf.own.shared.approved_tsas == publisher.shared.approved_tsas
    assert not conf.own.expired(datetime.now(UTC))


def test_an_unusable_trust_list_gives_2_and_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = tmp_path / "anchor.xml"
    text.write_text("hello")
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("verificationconf/instance-identifier", "DEV")
    saved = tmp_path / "conf.zip"
    saved.write_bytes(broken.getvalue())
    with _served({"/text": b"hello"}) as address:
        for source, said in (
            (tmp_path / "absent", "can't be read"),
            (tmp_path, "instance-identifier"),
            (text, "neither a folder, nor a ZIP, nor an anchor"),
            (saved, "no usable trust list of DEV"),
            (f"{address}/text", "no ZIP file"),
            (f"{address}/absent", "404"),
            ("http://127.0.0.1:1/", "download failed"),
        ):
            code, out, err = _verify(capsys, "x", "--conf", source)
            assert (code, out) == (2, "")
            assert said in err
            assert len(err.splitlines()) == 1


def test_bad_usage_gives_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _verify(capsys, "--conf", "y")
    assert (code, err) == (2, "sacbe verify: name the files that are to be judged\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "x", "--conf", "y", "--at", "yesterday"])
    assert ended.value.code == 2
    assert "yesterday" in capsys.readouterr().err


# --- the list of each moment ----------------------------------------------------------------------


def test_each_file_is_judged_by_the_list_of_its_time_stamp(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, signatory: Signatory
) -> None:
    """A later list names another time-stamping service; before the first one nothing is known."""
    keeper = TrustListKeeper(tmp_path / "history")
    for pki, hour in ((signatory.pki, -1), (Pki(freshness_seconds=60), 1)):
        shared = build_shared_parameters(pki.conf().own.shared)
        part = Part("SHARED-PARAMETERS", "TEST", "shared-params.xml", shared, 6, None)
        keeper.keep(ConfigurationSet("TEST", (part,)), NOON + timedelta(hours=hour))
    found = []
    for hour in (-2, 0, 2):
        at = NOON + timedelta(hours=hour)
        file = tmp_path / f"{hour}.asice"
        file.write_bytes(build_container(stamped(signatory, plain(signatory), at)))
        code, out, _ = _verify(capsys, file, "--trust-lists", tmp_path / "history", "--json")
        found.append((code, _objects(out)[0]["code"]))
    assert found == [(1, "no_trust_list"), (0, None), (1, "mlog.tsp_certificate_not_found")]
    code, _, err = _verify(capsys, tmp_path / "0.asice", "--trust-lists", tmp_path)
    assert (code, "holds no history" in err) == (2, True)
