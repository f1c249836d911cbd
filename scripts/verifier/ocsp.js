// OCSP: whether a fresh and authorised response says that a certificate was good.

const MAX_RESPONSE_BYTES = 64 * 1024;
const MAX_RESPONSES = 100;
const CLOCK_SKEW = 5 * 60 * 1000;
const BASIC_RESPONSE = "1.3.6.1.5.5.7.48.1.1";
const STATUSES = { 0x80: "good", 0xa1: "revoked", 0x82: "unknown" };

/** A successful basic response, or NotAsn1. */
function parseOcspResponse(raw) {
  if (raw.length > MAX_RESPONSE_BYTES) throw new NotAsn1("it is too large");
  const [status, explicit] = parseElement(raw, SEQUENCE).children(1, 2);
  if (status.tag !== 0x0a || !same(status.content, [0]) || !explicit) {
    throw new NotAsn1("the responder refused");
  }
  const [kind, octets] = explicit.need(0xa0).children(1, 1)[0].sequence(2, 2);
  if (parseOid(kind) !== BASIC_RESPONSE) throw new NotAsn1("no basic response");
  const basic = parseElement(octets.need(OCTET_STRING).content, SEQUENCE).children(3, 4);
  const [data, algorithm, signature, embedded] = basic;
  const parts = data.sequence(3, 5);
  if (parts[0].tag === 0xa0) parts.shift();
  const [responder, produced, responses] = parts;
  parseTime(produced);
  const single = responses.sequence(1)[0].sequence(3, 5);
  const next = single.slice(3).find((part) => part.tag === 0xa0);
  const certificates = embedded ? embedded.need(0xa0).children(1, 1)[0].sequence(0, 10) : [];
  if (!STATUSES[single[1].tag]) throw new NotAsn1("a status that is not known");
  const byName = responder.tag === 0xa1;
  if (!byName) responder.need(0xa2);
  return {
    certId: single[0].need(SEQUENCE).raw,
    status: STATUSES[single[1].tag],
    thisUpdate: parseTime(single[2]),
    nextUpdate: next ? parseTime(next.children(1, 1)[0]) : null,
    name: byName ? responder.children(1, 1)[0].raw : null,
    keyHash: byName ? null : responder.children(1, 1)[0].need(OCTET_STRING).content,
    certificates: certificates.map((one) => readCertificate(one.raw)),
    algorithm: parseOid(algorithm.sequence(1, 2)[0]),
    signature: parseBits(signature),
    signed: data.raw,
  };
}

async function certIdOf(certificate, issuer) {
  const algorithm = der(SEQUENCE, Uint8Array.of(6, 5, 0x2b, 0x0e, 3, 2, 0x1a), Uint8Array.of(5, 0));
  return der(
    SEQUENCE,
    algorithm,
    der(OCTET_STRING, await hash("SHA-1", issuer.subject)),
    der(OCTET_STRING, await hash("SHA-1", issuer.key.bits)),
    certificate.serialRaw,
  );
}

async function checkOcsp(responses, certificate, issuer, conf, at, instance) {
  const wanted = await certIdOf(certificate, issuer);
  const bad = (code, text) => failed("ocsp_response", `invalid_cert_path.${code}`, text);
  const response = responses
    .slice(0, MAX_RESPONSES)
    .map(readableResponse)
    .find((found) => found && same(found.certId, wanted));
  if (!response) {
    return bad("cert_validation", `Unable to find OCSP response for certificate ${describe(certificate)}`);
  }
  const problem =
    (await signerProblem(response, issuer, instance, conf)) || ageProblem(response, conf, at);
  if (problem) return bad("incorrect_validation_info", problem);
  if (response.status !== "good") {
    return bad("cert_validation",
      `OCSP response indicates certificate status is ${response.status.toUpperCase()}: ${describe(certificate)}`);
  }
  return passed("ocsp_response", `good as of ${timeText(response.thisUpdate)}, judged at ${timeText(at)}`);
}

function readableResponse(raw) {
  try {
    return parseOcspResponse(raw);
  } catch (error) {
    if (error instanceof NotAsn1) return null; // says nothing about any certificate
    throw error;
  }
}

/** Why nobody entitled signed the response, or null. */
async function signerProblem(response, issuer, instance, conf) {
  const candidates = [];
  for (const found of knownSigners(response, conf)) {
    if (await isResponder(found, response)) candidates.push(found);
  }
  if (!candidates.length) return "Could not find OCSP certificate for responder ID";
  const signers = [];
  for (const found of candidates) {
    const table = found.key.kind === RSA_KEY ? RSA_SIGNATURES : ECDSA_SIGNATURES;
    const hashName = table.get(response.algorithm);
    if (await verifyDer(found.key, hashName, response.signature, response.signed)) signers.push(found);
  }
  if (!signers.length) return "Signature on OCSP response is not valid";
  for (const signer of signers) {
    if (await isAuthorised(signer, issuer, instance)) return null;
  }
  return `OCSP responder is not authorized for given CA: ${describe(signers[0])}`;
}

function knownSigners(response, conf) {
  const authorities = [...conf.instances.values()].flatMap((one) => one.cas.flatMap((ca) => ca.authorities));
  return [
    ...authorities.flatMap((authority) => authority.responders),
    ...authorities.map((authority) => authority.certificate),
    ...response.certificates,
  ];
}

async function isResponder(certificate, response) {
  if (response.name) return same(certificate.subject, response.name);
  return same(await hash("SHA-1", certificate.key.bits), response.keyHash);
}

async function isAuthorised(signer, issuer, instance) {
  if (sameCertificate(signer, issuer)) return true;
  const listed = instance.cas
    .flatMap((ca) => ca.authorities)
    .filter((authority) => sameCertificate(authority.certificate, issuer))
    .some((authority) => authority.responders.some((one) => sameCertificate(one, signer)));
  return listed || (hasExtendedUsage(signer, OCSP_SIGNING) && (await isIssuedBy(signer, issuer)));
}

/** Why the response is not of the time that is judged, or null. */
function ageProblem(response, conf, at) {
  if (response.thisUpdate < new Date(at - conf.ocspFreshness * 1000)) {
    return `OCSP response is too old (thisUpdate: ${timeText(response.thisUpdate)}, judged at ${timeText(at)})`;
  }
  if (response.thisUpdate > new Date(at.getTime() + CLOCK_SKEW)) {
    return `OCSP response is from the future (thisUpdate: ${timeText(response.thisUpdate)}, judged at ${timeText(at)})`;
  }
  if (conf.verifyNextUpdate && response.nextUpdate && response.nextUpdate < at) {
    return `OCSP nextUpdate is too old, atDate: ${timeText(at)} nextUpdate: ${timeText(response.nextUpdate)}`;
  }
  return null;
}
