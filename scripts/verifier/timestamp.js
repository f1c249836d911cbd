// Time-stamp tokens (RFC 3161): which moment a listed service saw these bytes.

const MAX_TOKEN_BYTES = 256 * 1024;
const SIGNED_DATA = "1.2.840.113549.1.7.2";
const TST_INFO = "1.2.840.113549.1.9.16.1.4";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12";
const SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";

/** A bare token, or a whole response that granted one; throws NotAsn1. */
function parseTimestamp(data) {
  if (data.length > MAX_TOKEN_BYTES) throw new NotAsn1("the token is too large");
  const [kind, explicit] = tokenOf(data);
  if (parseOid(kind) !== SIGNED_DATA) throw new NotAsn1("the token is no signed data");
  const parts = explicit.need(0xa0).children(1, 1)[0].sequence(4, 6);
  const [version, digests, content] = parts;
  if (parseInteger(version) !== 3n) throw new NotAsn1("the token is not of version 3");
  const signer = parts.at(-1).need(SET).children(1, 1)[0];
  const info = stampedInfo(content);
  return { info, ...readInfo(info), ...readSigner(signer, digests), certificates: embeddedIn(parts.slice(3, -1)) };
}

function tokenOf(data) {
  const [first, second] = parseElement(data, SEQUENCE).children(1, 2);
  if (first.tag !== SEQUENCE) {
    if (!second) throw new NotAsn1("the token is empty");
    return [first, second];
  }
  const status = parseInteger(first.children(1, 3)[0]);
  if (![0n, 1n].includes(status) || !second) throw new NotAsn1("the time-stamping service refused");
  return second.sequence(2, 2);
}

function stampedInfo(content) {
  const [kind, explicit] = content.sequence(2, 2);
  if (parseOid(kind) !== TST_INFO) throw new NotAsn1("the signed data is no time-stamp");
  return parseOctets(explicit.need(0xa0).children(1, 1)[0]);
}

/** An AlgorithmIdentifier of a digest, without parameters or with NULL. */
function hashOf(algorithm) {
  const [kind, ...parameters] = algorithm.sequence(1, 2);
  if (parameters.some((one) => !same(one.raw, [5, 0]))) {
    throw new NotAsn1("a digest algorithm has parameters");
  }
  const found = HASH_OIDS.get(parseOid(kind));
  if (!found) throw new NotAsn1(`digest algorithm ${parseOid(kind)} is not accepted`);
  return found;
}

function readInfo(info) {
  const [version, policy, imprint, serial, time] = parseElement(info, SEQUENCE).children(5, 10);
  if (parseInteger(version) !== 1n) throw new NotAsn1("the time-stamp is not of version 1");
  parseOid(policy);
  parseInteger(serial);
  const [algorithm, value] = imprint.sequence(2, 2);
  const imprintHash = hashOf(algorithm);
  const found = value.need(OCTET_STRING).content;
  if (found.length !== DIGEST_SIZES[imprintHash]) {
    throw new NotAsn1("the imprint does not have the length of its digest");
  }
  return { imprintHash, imprint: found, genTime: stampTime(time.need(GENERALIZED_TIME)) };
}

function stampTime(element) {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d*[1-9]))?Z$/.exec(latin1(element.content));
  if (!match) throw new NotAsn1("the time of the time-stamp is not in UTC as DER writes it");
  const at = momentOf(match.slice(1, 7).map(Number));
  at.setUTCMilliseconds(Number((match[7] || "0").padEnd(3, "0").slice(0, 3)));
  return at;
}

function readSigner(element, digests) {
  const parts = element.sequence(6, 7);
  const [version, id, digestAlgorithm, attributes, algorithm, value] = parts;
  if (parts[6]) parts[6].need(0xa1);
  const digestHash = hashOf(digestAlgorithm);
  if (!digests.need(SET).children().map(hashOf).includes(digestHash)) {
    throw new NotAsn1("the digest algorithm is not among those announced");
  }
  const byKey = id.tag === 0x80;
  if (parseInteger(version) !== (byKey ? 3n : 1n)) {
    throw new NotAsn1("the signer's version does not fit its identifier");
  }
  const [issuer, serial] = byKey ? [null, null] : id.sequence(2, 2);
  const [kind, ...parameters] = algorithm.sequence(1, 2);
  if (parameters.some((one) => !same(one.raw, [5, 0]))) {
    throw new NotAsn1("a signature algorithm with parameters is not accepted");
  }
  return {
    digestHash,
    keyId: byKey ? id.content : null,
    issuer: byKey ? null : issuer.need(SEQUENCE).raw,
    serial: byKey ? null : parseInteger(serial),
    algorithm: parseOid(kind),
    signed: concat(Uint8Array.of(SET), attributes.need(0xa0).raw.subarray(1)),
    attributes: readAttributes(attributes),
    signature: value.need(OCTET_STRING).content,
  };
}

function readAttributes(element) {
  const found = new Map();
  for (const attribute of element.children()) {
    const [kind, values] = attribute.sequence(2, 2);
    const name = parseOid(kind);
    if (found.has(name)) throw new NotAsn1("a signed attribute stands twice");
    found.set(name, values.need(SET).children(1, 1)[0]);
  }
  return found;
}

function embeddedIn(optional) {
  const tags = optional.map((element) => element.tag).join();
  if (!["", "160", "160,161"].includes(tags)) {
    throw new NotAsn1("the signed data has parts that are not known");
  }
  if (!optional.length) return [];
  return optional[0].children(0, 20).map((child) => child.need(SEQUENCE).raw);
}

/** The check, and the moment that is proven, null unless it passed. */
async function checkTimestamp(token, stamped, services) {
  const bad = (code, text) => ({ check: failed("timestamp", code, text), time: null });
  let parsed;
  try {
    parsed = parseTimestamp(token);
  } catch (error) {
    if (!(error instanceof NotAsn1)) throw error;
    return bad("malformed_signature", `The time-stamp can't be read: ${error.message}`);
  }
  if (!same(await hash(parsed.imprintHash, stamped), parsed.imprint)) {
    return bad("malformed_signature", "Timestamp hashes do not match");
  }
  if (!services.length) {
    return bad("mlog.no_timestamping_provider_found", "The trust list names no time-stamping service");
  }
  const certificate = await stampSigner(parsed, services);
  if (!certificate) {
    return bad("mlog.tsp_certificate_not_found",
      "The time-stamp is signed by a service that the trust list does not name");
  }
  const untrue = await stampProblem(parsed, certificate);
  if (untrue) {
    return bad("mlog.timestamp_signer_verification_failed", `${untrue} (${describe(certificate)})`);
  }
  const text = `${describe(certificate)} saw it at ${timeText(parsed.genTime)}`;
  return { check: passed("timestamp", text), time: parsed.genTime };
}

async function stampSigner(token, services) {
  for (const certificate of services) {
    const fits = token.keyId
      ? same(token.keyId, await keyIdentifier(certificate))
      : same(token.issuer, certificate.issuer) && token.serial === certificate.serial;
    if (fits) return certificate;
  }
  return null;
}

async function stampProblem(token, certificate) {
  if (!validAt(certificate, token.genTime)) {
    return "the service's certificate was not valid at the time of the time-stamp";
  }
  try {
    const problem = await attributeProblem(token, certificate);
    if (problem) return problem;
  } catch (error) {
    if (!(error instanceof NotAsn1)) throw error;
    return error.message;
  }
  if (token.certificates.length && !token.certificates.some((raw) => same(raw, certificate.raw))) {
    return "the certificate inside the token is another one than that of the service";
  }
  const rsa = certificate.key.kind === RSA_KEY;
  const table = rsa ? RSA_SIGNATURES : ECDSA_SIGNATURES;
  const fits = table.get(token.algorithm) === token.digestHash || (rsa && token.algorithm === RSA_KEY);
  if (!fits) return `signatures by ${token.algorithm} are not accepted`;
  const holds = await verifyDer(certificate.key, token.digestHash, token.signature, token.signed);
  return holds ? null : "the token's signature is not by the key of the service";
}

async function attributeProblem(token, certificate) {
  const kind = token.attributes.get(CONTENT_TYPE);
  if (!kind || parseOid(kind) !== TST_INFO) return "the signature is not over a time-stamp";
  const stated = token.attributes.get(MESSAGE_DIGEST);
  const found = await hash(token.digestHash, token.info);
  if (!stated || !same(stated.need(OCTET_STRING).content, found)) {
    return "the signature is over another time-stamp";
  }
  const another = "the signed attributes name another certificate";
  const first = token.attributes.get(SIGNING_CERTIFICATE);
  if (first) {
    const named = firstCertificateId(first)[0].need(OCTET_STRING).content;
    if (!same(named, await hash("SHA-1", certificate.raw))) return another;
  }
  const second = token.attributes.get(SIGNING_CERTIFICATE_V2);
  if (second) {
    const parts = firstCertificateId(second);
    const name = parts[0].tag === SEQUENCE ? hashOf(parts.shift()) : "SHA-256";
    if (!parts.length) return another;
    if (!same(parts[0].need(OCTET_STRING).content, await hash(name, certificate.raw))) return another;
  }
  return null;
}

function firstCertificateId(value) {
  const identifiers = value.sequence(1, 2)[0].sequence();
  if (!identifiers.length) throw new NotAsn1("a signing-certificate attribute without certificate");
  return identifiers[0].sequence(1, 3);
}
