// XAdES signatures: the form that X-Road writes and reads, and little more; what is outside that
// profile is refused.

const DS = "http://www.w3.org/2000/09/xmldsig#";
const XADES = "http://uri.etsi.org/01903/v1.3.2#";
const SIGNATURE_PREFIXES = new Map([
  [DS, "ds"], [XADES, "xades"],
  ["http://uri.etsi.org/02918/v1.2.1#", "asic"], ["http://uri.etsi.org/02918/v1.1.1#", "asic"],
]);
const MAX_SIGNATURE_BYTES = 2 * 1024 * 1024;
const MAX_SIGNATURE_ELEMENTS = 10000;
const MAX_REFERENCES = 1000;
const PROPERTIES_TYPE = "http://uri.etsi.org/01903#SignedProperties";
const SIGNATURE_ID = /^[A-Za-z_][A-Za-z0-9._-]{0,255}$/;

const malformedSignature = (reason) => new Rejected(reason, "malformed_signature");

/** What an element may hold: content as `a b? c|d*`, attributes, a required one with `!`. */
function shape(content, attributes = "", text = false) {
  const names = attributes.split(" ").filter(Boolean);
  const pattern = content === null ? null : content.split(" ").filter(Boolean).map((token) => {
    const [, plain, count] = /^(.*?)([?*+]?)$/.exec(token);
    return `(?:(?:${plain}) )${count}`;
  });
  return {
    children: pattern && new RegExp(`^${pattern.join("")}$`),
    text: text || content === null,
    attributes: names.map((name) => name.replace("!", "")),
    required: names.filter((name) => name.endsWith("!")).map((name) => name.slice(0, -1)),
  };
}

const ANY_SHAPE = shape(null, "Id");
const TEXT_SHAPE = shape("", "", true);
const ID_TEXT_SHAPE = shape("", "Id Encoding", true);
const ALGORITHM_SHAPE = shape("", "Algorithm!");

/** As containers have them: the unsigned properties may be what they are. */
const SHAPES = {
  "asic:XAdESSignatures": shape("ds:Signature"),
  "ds:Signature": shape("ds:SignedInfo ds:SignatureValue ds:KeyInfo ds:Object", "Id!"),
  "ds:SignedInfo": shape("ds:CanonicalizationMethod ds:SignatureMethod ds:Reference+", "Id"),
  "ds:CanonicalizationMethod": ALGORITHM_SHAPE,
  "ds:SignatureMethod": ALGORITHM_SHAPE,
  "ds:Reference": shape("ds:Transforms? ds:DigestMethod ds:DigestValue", "Id Type URI!"),
  "ds:Transforms": shape("ds:Transform"),
  "ds:Transform": ALGORITHM_SHAPE,
  "ds:DigestMethod": ALGORITHM_SHAPE,
  "ds:DigestValue": TEXT_SHAPE,
  "ds:SignatureValue": shape("", "Id", true),
  "ds:KeyInfo": shape("ds:X509Data", "Id"),
  "ds:X509Data": shape("ds:X509Certificate"),
  "ds:X509Certificate": TEXT_SHAPE,
  "ds:X509IssuerName": TEXT_SHAPE,
  "ds:X509SerialNumber": TEXT_SHAPE,
  "ds:Object": shape("xades:QualifyingProperties", "Id"),
  "xades:QualifyingProperties": shape("xades:SignedProperties xades:UnsignedProperties?", "Id Target!"),
  "xades:SignedProperties": shape("xades:SignedSignatureProperties xades:SignedDataObjectProperties?", "Id!"),
  "xades:SignedSignatureProperties": shape(
    "xades:SigningTime? xades:SigningCertificate|xades:SigningCertificateV2" +
      " xades:SignaturePolicyIdentifier?" +
      " xades:SignatureProductionPlace|xades:SignatureProductionPlaceV2?" +
      " xades:SignerRole|xades:SignerRoleV2?",
    "Id",
  ),
  "xades:SigningTime": TEXT_SHAPE,
  "xades:SigningCertificate": shape("xades:Cert+"),
  "xades:SigningCertificateV2": shape("xades:Cert+"),
  "xades:Cert": shape("xades:CertDigest xades:IssuerSerial|xades:IssuerSerialV2", "URI"),
  "xades:CertDigest": shape("ds:DigestMethod ds:DigestValue"),
  "xades:IssuerSerial": shape("ds:X509IssuerName ds:X509SerialNumber"),
  "xades:IssuerSerialV2": TEXT_SHAPE,
  "xades:SignaturePolicyIdentifier": shape("xades:SignaturePolicyId"),
  "xades:SignaturePolicyId": shape("xades:SigPolicyId xades:SigPolicyHash xades:SigPolicyQualifiers?"),
  "xades:SigPolicyId": shape("xades:Identifier xades:Description?"),
  "xades:SigPolicyHash": shape("ds:DigestMethod ds:DigestValue"),
  "xades:SigPolicyQualifiers": shape("xades:SigPolicyQualifier+"),
  "xades:SigPolicyQualifier": ANY_SHAPE,
  "xades:Identifier": shape("", "Qualifier", true),
  "xades:Description": TEXT_SHAPE,
  "xades:SignatureProductionPlace": ANY_SHAPE,
  "xades:SignatureProductionPlaceV2": ANY_SHAPE,
  "xades:SignerRole": ANY_SHAPE,
  "xades:SignerRoleV2": ANY_SHAPE,
  "xades:SignedDataObjectProperties": shape("xades:DataObjectFormat* xades:CommitmentTypeIndication*", "Id"),
  "xades:DataObjectFormat": shape("xades:Description? xades:MimeType? xades:Encoding?", "ObjectReference!"),
  "xades:MimeType": TEXT_SHAPE,
  "xades:Encoding": TEXT_SHAPE,
  "xades:CommitmentTypeIndication": ANY_SHAPE,
  "xades:UnsignedProperties": ANY_SHAPE,
  "xades:UnsignedSignatureProperties": ANY_SHAPE,
  "xades:SignatureTimeStamp": ANY_SHAPE,
  "xades:EncapsulatedTimeStamp": ID_TEXT_SHAPE,
  "xades:CompleteCertificateRefs": shape("xades:CertRefs", "Id"),
  "xades:CertRefs": shape("xades:Cert+"),
  "xades:CompleteRevocationRefs": ANY_SHAPE,
  "xades:CertificateValues": shape("xades:EncapsulatedX509Certificate*", "Id"),
  "xades:EncapsulatedX509Certificate": ID_TEXT_SHAPE,
  "xades:RevocationValues": shape("xades:OCSPValues", "Id"),
  "xades:OCSPValues": shape("xades:EncapsulatedOCSPValue+", "Id"),
  "xades:EncapsulatedOCSPValue": ID_TEXT_SHAPE,
};
/** Time-stamps are not among them: of several the first counts, which the log has put in. */
const ONCE = new Set([
  "ds:Signature", "ds:Object", "xades:QualifyingProperties", "xades:SignedProperties",
  "xades:UnsignedSignatureProperties", "xades:CompleteCertificateRefs",
  "xades:CertificateValues", "xades:RevocationValues",
]);

/** The short name of an element that has one here, else `?`. */
function shortName(element) {
  const prefix = SIGNATURE_PREFIXES.get(element.namespaceURI);
  const name = `${prefix}:${element.localName}`;
  return prefix && Object.hasOwn(SHAPES, name) ? name : "?";
}

/** Check a signature document, and give its elements by `Id`. */
function checkForm(root) {
  const rootName = shortName(root);
  if (!["ds:Signature", "asic:XAdESSignatures"].includes(rootName)) {
    throw malformedSignature("Could not find element ds:Signature");
  }
  const seen = new Set();
  const byId = new Map();
  const waiting = [[root, rootName]];
  for (const [element, name] of waiting) {
    waiting.push(...checkedChildren(element, name, SHAPES[name]));
    if (waiting.length > MAX_SIGNATURE_ELEMENTS) throw malformedSignature("too many elements");
    if (ONCE.has(name)) {
      if (seen.has(name)) throw malformedSignature(`${name} stands there twice`);
      seen.add(name);
    }
    const id = element.getAttribute("Id");
    if (id !== null) {
      if (byId.has(id) || !SIGNATURE_ID.test(id)) {
        throw malformedSignature(`Id '${id}' is no unique identifier`);
      }
      byId.set(id, element);
    }
  }
  return byId;
}

function checkedChildren(element, name, its) {
  const present = [...attributesOf(element).keys()];
  for (const attribute of present) {
    if (attribute.startsWith("{http://www.w3.org/XML/")) {
      throw malformedSignature("an attribute of the namespace xml");
    }
    if (its && !its.attributes.includes(attribute)) {
      throw malformedSignature(`unexpected attribute of ${name}: ${attribute}`);
    }
  }
  for (const node of element.childNodes) {
    if (isMarkup(node)) throw malformedSignature("a comment or processing instruction in the signature");
  }
  const children = Array.from(element.children, (child) => [child, shortName(child)]);
  if (hasLooseText(element, { inFront: false })) {
    throw malformedSignature(`text between the children of ${name}`);
  }
  if (!its) return children;
  if (!its.required.every((attribute) => present.includes(attribute))) {
    throw malformedSignature(`${name} lacks an attribute: ${its.required.join(", ")}`);
  }
  if ((element.prefix || "") !== name.split(":")[0]) throw malformedSignature(`${name} has another prefix`);
  if (!its.text && ownText(element).trim()) throw malformedSignature(`text in ${name}`);
  const content = children.map(([, child]) => `${child} `).join("");
  if (its.children && !its.children.test(content)) {
    throw malformedSignature(`unexpected content of ${name}: ${content.trim() || "nothing"}`);
  }
  return children;
}

// --- reading --------------------------------------------------------------------------------------

const SIGNATURE_ALGORITHMS = new Map(
  [["256", "SHA-256"], ["384", "SHA-384"], ["512", "SHA-512"]].flatMap(([bits, name]) => [
    [`http://www.w3.org/2001/04/xmldsig-more#rsa-sha${bits}`, ["pkcs1", name]],
    [`http://www.w3.org/2007/05/xmldsig-more#sha${bits}-rsa-MGF1`, ["pss", name]],
    [`http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha${bits}`, ["ecdsa", name]],
  ]),
);

/** A well-formed signature; nothing in it is believed yet. */
async function parseSignature(raw) {
  const root = parseSignatureXml(raw);
  const byId = checkForm(root);
  const element = shortName(root) === "ds:Signature" ? root : root.firstElementChild;
  const [signedInfo, value, keyInfo, object] = element.children;
  const qualifying = object.firstElementChild;
  const properties = qualifying.firstElementChild;
  if (qualifying.getAttribute("Target") !== `#${element.getAttribute("Id")}`) {
    throw malformedSignature("QualifyingProperties belong to another signature");
  }
  const [canonicalization, method, ...referenceElements] = signedInfo.children;
  const references = readReferences(referenceElements, properties);
  const certificate = certificateOf(keyInfo.firstElementChild.firstElementChild);
  const uri = method.getAttribute("Algorithm");
  const algorithm = SIGNATURE_ALGORITHMS.get(uri);
  if (!algorithm) throw malformedSignature(`Signature algorithm '${uri}' is not accepted`);
  return {
    certificate,
    algorithm,
    algorithmName: uri.split("#").at(-1),
    value: bytesOf(value),
    references: references.parts,
    signedInfo: canonical(signedInfo, canonicalization.getAttribute("Algorithm")),
    signedProperties: canonical(properties, references.transform),
    propertiesDigest: references.own,
    certificateDigest: statedCertificate(properties.firstElementChild),
    signingTime: signingTime(properties.firstElementChild),
    embedded: await embeddedCertificates(qualifying, byId),
    ocspResponses: embeddedResponses(qualifying),
    timestamp: embeddedTimestamp(qualifying),
    references_: new Set(references.parts.map((part) => part.name)),
  };
}

function parseSignatureXml(raw) {
  try {
    const root = parseXml(raw, MAX_SIGNATURE_BYTES, "Signature");
    if (!standsAlone(root)) {
      throw malformedSignature("A comment or processing instruction stands outside the root element");
    }
    return root;
  } catch (error) {
    if (error instanceof Rejected) throw error;
    if (error instanceof Malformed) throw new Rejected(error.message, error.code);
    throw error;
  }
}

function bytesOf(element) {
  try {
    return fromBase64(ownText(element));
  } catch {
    throw malformedSignature(`${element.localName} is not base64`);
  }
}

function certificateOf(element) {
  try {
    return parseCertificate(bytesOf(element));
  } catch (error) {
    if (error instanceof Rejected || !(error instanceof Malformed)) throw error;
    throw malformedSignature(`Certificate in the signature: ${error.message}`);
  }
}

function statedDigest(name, method, value) {
  const uri = method.getAttribute("Algorithm") || "";
  if (!DIGESTS.has(uri)) {
    throw malformedSignature(`Digest algorithm '${uri}' of ${name} is not accepted`);
  }
  return { name, digest: bytesOf(value), algorithm: uri };
}

function readReferences(elements, properties) {
  if (elements.length > MAX_REFERENCES) throw malformedSignature("too many references");
  const target = `#${properties.getAttribute("Id")}`;
  const parts = new Map();
  let own = null;
  let transform = INCLUSIVE;
  for (const element of elements) {
    const uri = element.getAttribute("URI") || "";
    const kind = element.getAttribute("Type");
    const children = Array.from(element.children);
    const [method, value] = children.slice(-2);
    const transforms = children.slice(0, -2);
    if ((uri === target) !== (kind === PROPERTIES_TYPE) || (kind && uri !== target)) {
      throw malformedSignature(`Reference to '${uri}' of type '${kind}'`);
    }
    if (parts.has(uri) || (uri === target && own)) {
      throw malformedSignature(`Two references to '${uri}'`);
    }
    const stated = statedDigest(uri, method, value);
    if (uri === target) {
      own = stated;
      if (transforms.length) transform = transforms[0].firstElementChild.getAttribute("Algorithm");
    } else if (transforms.length || !uri.startsWith("/")) {
      throw malformedSignature(`Reference to '${uri}': only parts of the message, and as they are`);
    } else {
      parts.set(uri, stated);
    }
  }
  if (!own) throw malformedSignature("The signed properties are not signed");
  return { parts: [...parts.values()], own, transform };
}

/** The digest of the certificate that the signer says was used; of several the first counts. */
function statedCertificate(properties) {
  const names = ["SigningCertificate", "SigningCertificateV2"].map((name) => `{${XADES}}${name}`);
  const listed = Array.from(properties.children).find((child) => names.includes(nameOf(child)));
  const [method, value] = listed.firstElementChild.firstElementChild.children;
  return statedDigest("signing certificate", method, value);
}

const SIGNING_TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-][01]\d:[0-5]\d)$/;

function signingTime(properties) {
  const [element] = childrenNamed(properties, `{${XADES}}SigningTime`);
  if (!element) return null;
  const text = ownText(element).trim();
  const found = SIGNING_TIME.exec(text);
  const at = found && new Date(`${found[1]}.${(found[2] || "0").padEnd(3, "0").slice(0, 3)}${found[3]}`);
  const exists = found && new Date(`${found[1]}Z`);
  const real = at && !Number.isNaN(at.getTime()) && !Number.isNaN(exists.getTime())
    && exists.toISOString().startsWith(found[1])
    && at.getUTCFullYear() >= 1 && at.getUTCFullYear() <= 9999;
  if (!real) {
    throw malformedSignature(`SigningTime '${text}' is no time`);
  }
  return at;
}

/** Elements two levels down, then by names, as the unsigned properties have them. */
function unsignedElements(qualifying, ...names) {
  let found = Array.from(qualifying.children).flatMap((one) => Array.from(one.children));
  for (const name of names) {
    found = found.flatMap((one) => childrenNamed(one, `{${XADES}}${name}`));
  }
  return found.flatMap((one) => Array.from(one.children));
}

async function embeddedCertificates(qualifying, byId) {
  const references = unsignedElements(qualifying, "CompleteCertificateRefs", "CertRefs");
  if (references.length > 10) throw malformedSignature("too many embedded certificates");
  const found = [];
  for (const reference of references) {
    const uri = reference.getAttribute("URI") || "";
    const element = uri.startsWith("#") ? byId.get(uri.slice(1)) : undefined;
    if (!element || nameOf(element) !== `{${XADES}}EncapsulatedX509Certificate`) {
      throw malformedSignature(`Could not find certificate with id '${uri}'`);
    }
    const certificate = certificateOf(element);
    const [method, value] = reference.firstElementChild.children;
    const stated = statedDigest(uri, method, value);
    if (!same(await digest(stated.algorithm, certificate.raw), stated.digest)) {
      throw malformedSignature(`Certificate (${certificate.serial}) digest does not match`);
    }
    found.push(certificate);
  }
  return found;
}

function embeddedResponses(qualifying) {
  const found = unsignedElements(qualifying, "RevocationValues", "OCSPValues").map(bytesOf);
  if (!found.length) throw malformedSignature("Could not get any OCSP elements from signature");
  if (found.length > MAX_RESPONSES) throw malformedSignature("too many OCSP responses");
  return found;
}

/** The token of a single time-stamp; old signatures have it without an element of its own. */
function embeddedTimestamp(qualifying) {
  const found =
    qualifying.getElementsByTagNameNS(XADES, "EncapsulatedTimeStamp")[0] ||
    qualifying.getElementsByTagNameNS(XADES, "SignatureTimeStamp")[0];
  return found ? bytesOf(found) : null;
}

// --- whether it holds -----------------------------------------------------------------------------

/** Whether the bytes belong together; who signed them is not judged.
 *
 * `message`: `signature`, `parts` by name (`{digest, algorithm}`), `data` by name,
 * `chainResult` and `chain` where there are any.
 */
async function verifyContent(message) {
  let signature;
  try {
    signature = await parseSignature(message.signature);
  } catch (error) {
    if (!(error instanceof Rejected)) throw error;
    return {
      signature: null,
      coverage: [
        failed("signature_form", error.code, error.message),
        ...["hash_chain", "coverage", "stated_certificate"].map(skipped),
      ],
      values: ["signature_value", "references"].map(skipped),
      covered: new Set(),
      absent: [],
    };
  }
  const { check, chain } = await checkHashChain(signature, message);
  const covered = new Set([...signature.references_].filter((name) => message.parts.has(name)));
  for (const name of chain ? chain.covered : []) {
    if (message.parts.has(name)) covered.add(name);
  }
  return {
    signature,
    coverage: [
      passed("signature_form", `${signature.references.length} references to parts`),
      check,
      check.outcome === "failed" ? skipped("coverage") : checkCoverage(signature, message, covered),
      await checkStatedCertificate(signature),
    ],
    values: [await checkValue(signature), await checkReferences(signature, message)],
    covered,
    absent: chain ? chain.unresolved : [],
  };
}

async function checkHashChain(signature, message) {
  const name = "hash_chain";
  if (!signature.references_.has(CHAIN_RESULT_NAME)) {
    if (!message.chain && !message.chainResult) return { check: passed(name, "not used"), chain: null };
    return { check: noted(name, "A hash chain came along that the signature does not reference"), chain: null };
  }
  if (!message.chainResult) {
    const text = `Cannot resolve URI: ${CHAIN_RESULT_NAME}`;
    return { check: failed(name, "malformed_signature.invalid_reference", text), chain: null };
  }
  const files = new Map(message.chain ? [[CHAIN_NAME, message.chain]] : []);
  const inputs = new Map();
  for (const [part, stated] of message.parts) inputs.set(part, message.data.has(part) ? null : stated);
  try {
    const chain = await verifyHashChain(message.chainResult, files, inputs, (part) => message.data.get(part));
    return { check: passed(name, `leads to ${[...chain.covered].sort().join(", ")}`), chain };
  } catch (error) {
    if (!(error instanceof Rejected)) throw error;
    return { check: failed(name, `malformed_signature.${error.code}`, error.message), chain: null };
  }
}

function checkCoverage(signature, message, covered) {
  const name = "coverage";
  const references = signature.references_;
  const known = new Set([...message.parts.keys(), CHAIN_RESULT_NAME]);
  if (!references.has("/message.xml") && !references.has(CHAIN_RESULT_NAME)) {
    return failed(name, "malformed_signature",
      `Signature does not reference '/message.xml' or '${CHAIN_RESULT_NAME}'`);
  }
  const foreign = [...references].filter((part) => !known.has(part));
  if (foreign.length) {
    return failed(name, "malformed_signature.invalid_reference",
      `Signature references what was not received: ${foreign.join(", ")}`);
  }
  const uncovered = [...message.parts.keys()].filter((part) => !covered.has(part));
  if (uncovered.length) {
    return failed(name, "malformed_signature.hashchain_unused_inputs",
      `Some parts are not covered by the signature: ${uncovered.sort().join(", ")}`);
  }
  return passed(name, `signed are ${[...covered].sort().join(", ")}`);
}

async function checkStatedCertificate(signature) {
  const stated = signature.certificateDigest;
  if (same(await digest(stated.algorithm, signature.certificate.raw), stated.digest)) {
    return passed("stated_certificate", describe(signature.certificate));
  }
  return failed("stated_certificate", "malformed_signature",
    "The signed properties state another certificate than the one in KeyInfo");
}

async function checkReferences(signature, message) {
  const own = signature.propertiesDigest;
  const wrong = [];
  if (!same(await digest(own.algorithm, signature.signedProperties), own.digest)) wrong.push(own.name);
  for (const reference of signature.references) {
    const found = await receivedDigest(reference, message);
    if (!found || !same(found, reference.digest)) wrong.push(reference.name);
  }
  if (wrong.length) {
    return failed("references", "invalid_signature_value",
      `Signature is not valid: the digest of ${wrong.join(", ")} differs`);
  }
  return passed("references", `${signature.references.length} parts and the signed properties`);
}

async function receivedDigest(reference, message) {
  const part = message.parts.get(reference.name);
  if (part && part.algorithm === reference.algorithm) return part.digest;
  const data = reference.name === CHAIN_RESULT_NAME ? message.chainResult : message.data.get(reference.name);
  return data ? digest(reference.algorithm, data) : null;
}

async function checkValue(signature) {
  const { algorithm: [scheme, hashName], certificate, value, signedInfo } = signature;
  const raw = scheme === "ecdsa" ? paddedEcdsa(value, certificate.key.curve) : value;
  if (raw && (await verifyRaw(certificate.key, scheme, hashName, raw, signedInfo))) {
    return passed("signature_value", signature.algorithmName);
  }
  return failed("signature_value", "invalid_signature_value", "Signature is not valid");
}

/** r and s of equal length, up to the field's: Java strips zeros that both have. */
function paddedEcdsa(value, curve) {
  const half = value.length / 2;
  if (!curve || !Number.isInteger(half) || !half || half > curve.size) return null;
  const zeros = new Uint8Array(curve.size - half);
  return concat(zeros, value.subarray(0, half), zeros, value.subarray(half));
}
