"""Hash trees: the worked examples, X-Road's vectors, and what an adversary may send."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vector_files import vector_path
from trust.digests import SHA256_URI, SHA384_URI, SHA512_URI, sha512
from trust.errors import EvidenceRejected
from trust.evidence.hashchain import (
    MAX_STEPS,
    HashChains,
    HashChainVerdict,
    PartDigest,
    build_hash_chains,
    step_der,
    verify_hash_chain,
)

REST_REQUEST = (
    b"POST\r\n/r1/EX/COM/2002/registry/people/v2/persons?dry=true\r\n"
    b"X-Road-Client:EX/GOV/1001/portal\r\nX-Road-Id:4f5a2f5e-0002\r\n"
    b"Content-Type:application/json\r\nAccept:application/json\r\n"
    b"x-road-request-id:6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22\r\n"
)
REST_GET = (
    b"GET\r\n/r1/EX/COM/2002/registry/people/v2/persons/1\r\n"
    b"X-Road-Client:EX/GOV/1001/portal\r\nX-Road-Id:4f5a2f5e-0003\r\nAccept:application/json\r\n"
    b"x-road-request-id:0c1f1a3e-2b1d-4f0a-9a5e-7d1f8f7a0b11\r\n"
)
SOAP_DIGEST = base64.b64decode(
    "u9rB2I8OPov+F7iJe/rC7U+A8nYwUju7P7T5YOIOyFKQ4U3hzodmiRGvt/fWt3BSlF8Q6X9hQupOUaECQSBkBw=="
)
TOP_OF_ONE = (
    "FL+ncLFhkZL5LgGQP4PlFvkEbP1R+B/URwM6XtDS6wdhB5CSwYova5ym5o1xMaUXla0yUFBmEm7biU8dRjzjAw=="
)
TOP_OF_THREE = (
    "lPowFlv9Zmrm0RQIx7x8i1xFn1UwwSLuv6dT/VwAK9H2KVAmckIykx8/uOBWq8Gd6k0AIxCKlEjgFJpbnP47RA=="
)
IN2 = "KlJ3PHVrcmtKN4YNscxRQYr8flhQqur2VgkPubmuhuBx6oihbHlHPx6g0xWL54EeGHM9qt9DsA7RW0cFAI4sdg=="
NODE01 = "g9jUiE0a5MG4w5gjJQdWlmEqrsclLhBCvjm7/ccqV6VTrdGqMSw57yu/z65+FAfJ/Z7jE31oF5EfCy6l1OeQDw=="

MESSAGE = PartDigest("/message.xml", sha512(REST_REQUEST))
BODY = PartDigest("/attachment1", sha512(b'{"code":1}'))
BATCH = ([PartDigest("/message.xml", SOAP_DIGEST)], [MESSAGE, BODY], [
    PartDigest("/message.xml", sha512(REST_GET))
])  # fmt: skip


def nothing(_: str) -> bytes | None:
    return None


def top_of(result: bytes) -> str:
    found = re.search(rb"<DigestValue>(.*)</DigestValue>", result)
    assert found
    return found[1].decode()


def verify(
    chains: HashChains, index: int, parts: list[PartDigest], load: Callable[[str], bytes | None]
) -> HashChainVerdict:
    return verify_hash_chain(
        chains.result,
        {"/sig-hashchain.xml": chains.chains[index]},
        {part.name: part for part in parts},
        load,
    )


# --- making -----------------------------------------------------------------------------------


def test_one_rest_message_with_body_is_the_worked_example() -> None:
    chains = build_hash_chains([[MESSAGE, BODY]])
    assert top_of(chains.result) == TOP_OF_ONE
    assert chains.chains == (
        b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        b'<ns2:HashChain xmlns="http://www.w3.org/2000/09/xmldsig#"'
        b' xmlns:ns2="http://cyber.ee/hashchain">\n'
        b'    <ns2:DefaultDigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"/>\n'
        b'    <ns2:HashStep id="STEP0">\n'
        b'        <ns2:DataRef URI="/message.xml">\n'
        b"            <DigestValue>RntjLrquWkYHR1QGHs2Os2pRHu+Jxld1yM05eezlA3ImM6F62QvIIBof/cr5"
        b"dRO8TCdT7L0Yo0zSaf7um/HUOw==</DigestValue>\n"
        b"        </ns2:DataRef>\n"
        b'        <ns2:DataRef URI="/attachment1">\n'
        b"            <DigestValue>D/4delJsMT81HBYlVr22GFCJ7S8mj9G2mi464PBS3kkUAy+fouoW7W9txTxC"
        b"z92/sNYL/wWb97VXRasEE43q2Q==</DigestValue>\n"
        b"        </ns2:DataRef>\n"
        b"    </ns2:HashStep>\n"
        b"</ns2:HashChain>\n",
    )


def test_the_der_of_a_step_is_the_worked_example() -> None:
    der = step_der([(SHA512_URI, MESSAGE.digest), (SHA512_URI, BODY.digest)])
    assert len(der) == 225
    assert der[:9].hex() == "3081de306d0440467b"
    assert der.endswith(b"\x0c\x27http://www.w3.org/2001/04/xmlenc#sha512\x30\x00")
    assert base64.b64encode(sha512(der)).decode() == TOP_OF_ONE


def test_a_step_longer_than_64_kib_has_a_three_byte_length() -> None:
    der = step_der([(SHA512_URI, bytes(64))] * 700)
    assert der[:2] == b"\x30\x83"
    assert int.from_bytes(der[2:5], "big") == len(der) - 5


def test_a_batch_of_three_is_the_worked_example() -> None:
    chains = build_hash_chains(BATCH)
    assert (
        chains.result
        == (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
            '<ns2:HashChainResult URI="/sig-hashchain.xml#STEP0"'
            ' xmlns="http://www.w3.org/2000/09/xmldsig#" xmlns:ns2="http://cyber.ee/hashchain">\n'
            '    <DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"/>\n'
            f"    <DigestValue>{TOP_OF_THREE}</DigestValue>\n"
            "</ns2:HashChainResult>\n"
        ).encode()
    )
    steps = [outline(chain) for chain in chains.chains]
    in0 = base64.b64encode(SOAP_DIGEST).decode()
    assert steps == [
        [
            ["StepRef #STEP1", f"HashValue {IN2}"],
            ["DataRef /message.xml", f"HashValue {TOP_OF_ONE}"],
        ],
        [
            ["StepRef #STEP1", f"HashValue {IN2}"],
            [f"HashValue {in0}", "StepRef #STEP2"],
            ["DataRef /message.xml", "DataRef /attachment1"],
        ],
        [[f"HashValue {NODE01}", "DataRef /message.xml"]],
    ]


def outline(chain: bytes) -> list[list[str]]:
    """Each step as a list of `StepRef #id`, `DataRef /name`, `HashValue digest`."""
    entry = re.compile(
        rb'<ns2:(StepRef|DataRef) URI="([^"]*)"|<ns2:(HashValue)>\s*<DigestValue>([^<]*)'
    )
    return [
        [b" ".join(filter(None, found.groups())).decode() for found in entry.finditer(step)]
        for step in chain.split(b"<ns2:HashStep")[1:]
    ]


def test_the_reference_check_values_of_sha256_trees() -> None:
    words = [
        [PartDigest("/message.xml", hashlib.sha256(word).digest(), SHA256_URI)]
        for word in (b"one", b"two", b"three", b"four")
    ]
    top = top_of(build_hash_chains(words, algorithm=SHA256_URI).result)
    assert top == "D7oIIfhfp4ToT729xyx991PvstI5XvpW+d7oeWvXw8E="
    parts = [
        PartDigest(f"/part{value}", bytes((value,)), SHA256_URI) for value in range(0x0B, 0x0F)
    ]
    top = top_of(build_hash_chains([parts], algorithm=SHA256_URI).result)
    assert top == "v3CBVgjKmzZT5hnJ6vj6waqBazZe334tdEoNiL2oM5E="


@pytest.mark.parametrize(
    ("leaves", "reason"),
    [
        ([], "without a hash chain"),
        ([[MESSAGE]], "without a hash chain"),
        ([[MESSAGE], []], "has no hash chain"),
        ([[MESSAGE, MESSAGE]], "has no hash chain"),
        ([[MESSAGE, PartDigest('/a"b', bytes(64))]], "no name of a message part"),
        ([[MESSAGE, PartDigest("/attachment1", bytes(32), SHA256_URI)]], "digested with"),
    ],
)
def test_a_tree_that_would_lie_is_not_built(leaves: list[list[PartDigest]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build_hash_chains(leaves)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=40).filter(lambda sizes: sum(sizes) > 1))
def test_every_chain_of_every_batch_leads_to_its_own_parts_only(sizes: list[int]) -> None:
    leaves = [
        [PartDigest(f"/part{part}", sha512(b"%d %d" % (leaf, part))) for part in range(size)]
        for leaf, size in enumerate(sizes)
    ]
    chains = build_hash_chains(leaves)
    for index, leaf in enumerate(leaves):
        verdict = verify(chains, index, leaf, nothing)
        assert verdict.covered == {part.name for part in leaf}
        assert verdict.unresolved == ()
        changed = [PartDigest(leaf[-1].name, sha512(b"other")), *leaf[:-1]]
        with pytest.raises(EvidenceRejected) as caught:
            verify(chains, index, changed, nothing)
        assert caught.value.code == "invalid_hash_chain"


# --- reading and verifying --------------------------------------------------------------------

FOLDER = "asic/src/common/common-message/src/test/resources/hc-verifier"


def hash_file(name: str) -> bytes:
    return vector_path(f"{FOLDER}{name}.xml").read_bytes()


def verify_vector(
    result: int,
    chain: str,
    inputs: Mapping[str, PartDigest | None],
    message: int | None = None,
    allow_transforms: bool = True,
) -> HashChainVerdict:
    files = {"/hashchain.xml": hash_file(chain)}
    if result == 4:
        files["/hashchain2.xml"] = hash_file("4-hashchain2")
    found = {} if message is None else {"/message.xml": hash_file(f"{message}-message")}
    return verify_hash_chain(
        hash_file(f"{result}-hashchainresult"),
        files,
        inputs,
        found.get,
        allow_transforms=allow_transforms,
    )


def sha256_part(name: str, digest: bytes) -> PartDigest:
    return PartDigest(name, digest, SHA256_URI)


LOADED: Mapping[str, PartDigest | None] = {"/message.xml": None}


@pytest.mark.interop
@pytest.mark.parametrize(
    ("result", "chain"), [(1, "1-hashchain"), (4, "4-hashchain1"), (3, "3-hashchain")]
)
def test_reference_chains_with_a_loaded_message_hold(result: int, chain: str) -> None:
    verdict = verify_vector(result, chain, LOADED, message=result)
    assert verdict == HashChainVerdict(frozenset({"/message.xml"}), ())


@pytest.mark.interop
def test_reference_chain_with_given_digests_holds() -> None:
    digest = hashlib.sha256(hash_file("1-message")).digest()
    verdict = verify_vector(1, "1-hashchain", {"/message.xml": sha256_part("/message.xml", digest)})
    assert verdict.covered == {"/message.xml"}
    names = ("/message.xml", "/attachment1", "/attachment2", "/attachment3")
    given_digests = {
        name: sha256_part(name, bytes((0x0B + number,))) for number, name in enumerate(names)
    }
    assert verify_vector(2, "2-hashchain", given_digests).covered == set(names)


@pytest.mark.interop
def test_names_that_nobody_can_load_are_trusted_to_the_top_and_told() -> None:
    verdict = verify_vector(
        2, "2-hashchain", {"/message.xml": sha256_part("/message.xml", b"\x0b")}
    )
    assert verdict.covered == {"/message.xml"}
    assert verdict.unresolved == tuple(
        sha256_part(f"/attachment{number}", bytes((0x0B + number,))) for number in (1, 2, 3)
    )


@pytest.mark.interop
@pytest.mark.parametrize(
    ("result", "chain", "inputs", "code"),
    [
        (1, "1-hashchain", {**LOADED, "/unused1": None, "/unused2": None},
         "hashchain_unused_inputs"),
        (1, "1-hashchain", {"/message.xml": sha256_part("/message.xml", bytes(32))},
         "invalid_hash_chain"),
        (3, "3-hashchain-invalid", LOADED, "invalid_hash_chain_ref"),
        (3, "5-hashchain-invalid-schema", LOADED, "malformed_hash_chain"),
    ],
)  # fmt: skip
def test_bad_reference_chains_get_their_code(
    result: int, chain: str, inputs: Mapping[str, PartDigest | None], code: str
) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        verify_vector(result, chain, inputs, message=result)
    assert caught.value.code == code


@pytest.mark.interop
def test_a_transform_is_refused_unless_asked_for() -> None:
    with pytest.raises(EvidenceRejected, match="transforms are not accepted") as caught:
        verify_vector(3, "3-hashchain", LOADED, message=3, allow_transforms=False)
    assert caught.value.code == "malformed_hash_chain"


def test_a_transform_of_what_is_no_xml_is_refused() -> None:
    """Only reached where transforms are allowed at all."""
    transforms = (
        '<d:Transforms><d:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>'
        "</d:Transforms>"
    )
    data = f'<DataRef URI="/message.xml">{transforms}{VALUE}</DataRef>'
    chain = f'{HEAD}<HashStep id="A">{data}</HashStep></HashChain>'.encode()
    result = build_hash_chains([[MESSAGE, BODY]], result_uri="/c.xml#A").result
    with pytest.raises(EvidenceRejected, match="can't be canonicalised") as caught:
        verify_hash_chain(
            result, {"/c.xml": chain}, LOADED, lambda _: b"no XML", allow_transforms=True
        )
    assert caught.value.code == "invalid_hash_chain_ref"


HEAD = (
    '<HashChain xmlns="http://cyber.ee/hashchain" xmlns:d="http://www.w3.org/2000/09/xmldsig#">'
    f'<DefaultDigestMethod Algorithm="{SHA512_URI}"/>'
)
VALUE = f"<d:DigestValue>{TOP_OF_ONE}</d:DigestValue>"


def hand_made(steps: str, top: str = TOP_OF_ONE, uri: str = "/sig-hashchain.xml#A") -> None:
    """Verify a chain written by hand against a top that can't be right."""
    result = (
        f'<HashChainResult URI="{uri}" xmlns="http://cyber.ee/hashchain"'
        f' xmlns:d="http://www.w3.org/2000/09/xmldsig#"><d:DigestMethod Algorithm="{SHA512_URI}"/>'
        f"<d:DigestValue>{top}</d:DigestValue></HashChainResult>"
    )
    files = {"/sig-hashchain.xml": f"{HEAD}{steps}</HashChain>".encode()}
    verify_hash_chain(result.encode(), files, {"/message.xml": MESSAGE}, nothing)


DATA = f'<DataRef URI="/message.xml">{VALUE}</DataRef>'
RUN = "".join(
    f'<HashStep id="S{number}"><StepRef URI="#S{number + 1}"/></HashStep>' for number in range(100)
)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ('<HashStep id="A"><StepRef URI="#A"/></HashStep>', "circle"),
        ('<HashStep id="A"><StepRef URI="#B"/><StepRef URI="#B"/></HashStep><HashStep id="B"/>',
         "circle"),
        (f'<HashStep id="A"><StepRef URI="#S0"/></HashStep>{RUN}', "too many"),
        ('<HashStep id="A"/><HashStep id="A"/>', "id of its own"),
        ("<HashStep/>", "id of its own"),
        ('<HashStep id="A"><StepRef URI="#B"/></HashStep>', "Invalid hash step URI: #B"),
        ('<HashStep id="A"><StepRef URI="B"/></HashStep>', "Invalid hash step URI: B"),
        ('<HashStep id="A"><StepRef URI="#"/></HashStep>', "Invalid hash step URI: #"),
        ('<HashStep id="A"><StepRef/></HashStep>', "without digest algorithm or URI"),
        (f'<HashStep id="A"><HashValue URI="x">{VALUE}</HashValue></HashStep>', "attribute URI"),
        (f'<HashStep id="A"><HashValue>{VALUE}{VALUE}</HashValue></HashStep>', "content of Hash"),
        (f'<HashStep id="A"><HashValue>x{VALUE}</HashValue></HashStep>', "unexpected text"),
        (f'<HashStep id="A"><HashValue>{VALUE}x</HashValue></HashStep>', "unexpected text"),
        ('<HashStep id="A"><HashValue/></HashStep>', "unexpected content of HashValue"),
        ('<HashStep id="A"><Other/></HashStep>', "unexpected element Other"),
        ('<HashStep id="A"><o xmlns="urn:o"/></HashStep>', "unexpected element o"),
        ('<HashStep id="A"><!-- c --></HashStep>', "a comment"),
        ("<DataRef/>", "unexpected content of HashChain"),
        ('<HashStep id="A"><HashValue><d:DigestValue>QR==</d:DigestValue></HashValue></HashStep>',
         "not base64"),
        ('<HashStep id="A"><HashValue><d:DigestValue>QQ==<a/></d:DigestValue></HashValue>'
         "</HashStep>", "content in DigestValue"),
        ('<HashStep id="A"><HashValue><d:DigestMethod Algorithm="urn:md5"/>' + VALUE
         + "</HashValue></HashStep>", "'urn:md5' is not accepted"),
        (f'<HashStep id="A">{DATA}{DATA}</HashStep>', "is not the one in the hash chain"),
        ('<HashStep id="A"><DataRef URI="/a">' + VALUE + '</DataRef><DataRef URI="/a">' + VALUE
         + "</DataRef></HashStep>", "referenced twice"),
        ('<HashStep id="A"><DataRef URI="/message.xml"><d:Transforms><d:Transform Algorithm="x"/>'
         f"</d:Transforms>{VALUE}</DataRef></HashStep>", "transforms are not accepted"),
        ('<HashStep id="A"><DataRef URI="/message.xml"><d:DigestMethod Algorithm="'
         f'{SHA384_URI}"/>{VALUE}</DataRef></HashStep>', "Cannot resolve URI: /message.xml"),
        ('<HashStep id="A"><StepRef URI="/other.xml#A"/></HashStep>',
         "Cannot resolve URI: /other.xml"),
    ],
)  # fmt: skip
def test_chains_that_no_honest_server_writes_are_refused(steps: str, reason: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        hand_made(steps)
    assert reason in caught.value.text
    expected = {"Cannot": "invalid_reference", "The di": "invalid_hash_chain"}
    assert caught.value.code == expected.get(caught.value.text[:6], "malformed_hash_chain")


@pytest.mark.parametrize("uri", ["/sig-hashchain.xml", "/sig-hashchain.xml#", "#A", ""])
def test_a_top_must_point_to_a_step_of_a_file(uri: str) -> None:
    with pytest.raises(EvidenceRejected, match="Invalid hash step URI") as caught:
        hand_made('<HashStep id="A"/>', uri=uri)
    assert caught.value.code == "malformed_hash_chain"


def test_a_chain_may_run_through_as_many_steps_as_are_allowed() -> None:
    steps = RUN.replace('URI="#S100"', f'URI="#S{MAX_STEPS - 1}"')
    last = f'<HashStep id="S{MAX_STEPS - 1}">{DATA}</HashStep>'
    run = steps.split(f'<HashStep id="S{MAX_STEPS - 1}"', maxsplit=1)[0] + last
    der = step_der([(SHA512_URI, MESSAGE.digest)])
    for _ in range(MAX_STEPS - 1):
        der = step_der([(SHA512_URI, sha512(der))])
    value = base64.b64encode(MESSAGE.digest).decode()
    hand_made(
        run.replace(TOP_OF_ONE, value),
        base64.b64encode(sha512(der)).decode(),
        "/sig-hashchain.xml#S0",
    )


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (b"", "invalid_xml"),
        (b"<!DOCTYPE a><a/>", "invalid_xml"),
        (b"<a/>", "malformed_hash_chain"),
        (b'<HashChainResult xmlns="http://cyber.ee/hashchain"/>', "malformed_hash_chain"),
    ],
)
def test_a_result_that_is_none_is_refused(result: bytes, code: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        verify_hash_chain(result, {}, {}, nothing)
    assert caught.value.code == code


def test_a_chain_that_is_no_xml_is_malformed() -> None:
    chains = build_hash_chains([[MESSAGE, BODY]])
    for junk in (b"", b"<a", b"<!DOCTYPE a><a/>"):
        with pytest.raises(EvidenceRejected) as caught:
            verify_hash_chain(chains.result, {"/sig-hashchain.xml": junk}, {}, nothing)
        assert caught.value.code == "malformed_hash_chain"


def test_a_wrong_top_is_seen() -> None:
    chains = build_hash_chains([[MESSAGE, BODY]])
    other = build_hash_chains(BATCH)
    with pytest.raises(EvidenceRejected) as caught:
        verify_hash_chain(other.result, {"/sig-hashchain.xml": chains.chains[0]}, {}, nothing)
    assert caught.value.code == "invalid_hash_chain"


CODES = {
    "invalid_xml",
    "malformed_hash_chain",
    "invalid_hash_chain",
    "invalid_hash_chain_ref",
    "invalid_reference",
    "hashchain_unused_inputs",
}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_chain_is_refused_or_still_says_the_same(data: st.DataObject) -> None:
    chains = build_hash_chains(BATCH)
    files = [chains.result, chains.chains[1]]
    which = data.draw(st.integers(0, 1))
    place = data.draw(st.integers(0, len(files[which]) - 1))
    damaged = bytearray(files[which])
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    files[which] = bytes(damaged)
    inputs = {part.name: part for part in BATCH[1]}
    try:
        outcome = verify_hash_chain(files[0], {"/sig-hashchain.xml": files[1]}, inputs, nothing)
    except EvidenceRejected as error:
        code = error.code
    else:  # white space, or names that do not matter
        assert outcome == HashChainVerdict(frozenset(inputs), ())
        return
    assert code in CODES
