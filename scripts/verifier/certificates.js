// Certificates: reading, verifying signatures with their keys, the path to an approved CA, and
// which member a signing certificate belongs to.

const MAX_CERTIFICATE_BYTES = 64 * 1024;
const RSA_KEY = "1.2.840.113549.1.1.1";
const RSA_PSS_KEY = "1.2.840.113549.1.1.10";
const EC_KEY = "1.2.840.10045.2.1";
const CURVES = new Map([
  ["1.2.840.10045.3.1.7", {
    name: "P-256",
    size: 32,
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  }],
  ["1.3.132.0.34", {
    name: "P-384",
    size: 48,
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  }],
  ["1.3.132.0.35", {
    name: "P-521",
    size: 66,
    p: 2n ** 521n - 1n,
    b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  }],
]);
const RSA_SIGNATURES = new Map([
  ["1.2.840.113549.1.1.11", "SHA-256"],
  ["1.2.840.113549.1.1.12", "SHA-384"],
  ["1.2.840.113549.1.1.13", "SHA-512"],
]);
const ECDSA_SIGNATURES = new Map([
  ["1.2.840.10045.4.3.2", "SHA-256"],
  ["1.2.840.10045.4.3.3", "SHA-384"],
  ["1.2.840.10045.4.3.4", "SHA-512"],
]);
const HASH_OIDS = new Map([
  ["2.16.840.1.101.3.4.2.1", "SHA-256"],
  ["2.16.840.1.101.3.4.2.2", "SHA-384"],
  ["2.16.840.1.101.3.4.2.3", "SHA-512"],
]);
const KEY_USAGE = "2.5.29.15";
const BASIC_CONSTRAINTS = "2.5.29.19";
const EXTENDED_USAGE = "2.5.29.37";
const SUBJECT_KEY_ID = "2.5.29.14";
const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";

const ATTRIBUTES = new Map([
  ["2.5.4.3", "CN"], ["2.5.4.5", "serialNumber"], ["2.5.4.6", "C"], ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"], ["2.5.4.10", "O"], ["2.5.4.11", "OU"], ["2.5.4.15", "businessCategory"],
  ["2.5.4.97", "organizationIdentifier"],
]);

/** Read one certificate from DER or PEM, or Malformed with code `incorrect_certificate`. */
function parseCertificate(raw) {
  try {
    if (raw.length > MAX_CERTIFICATE_BYTES) throw new NotAsn1("it is too large");
    return readCertificate(raw[0] === SEQUENCE ? raw : fromPem(latin1(raw)) || raw);
  } catch (error) {
    if (!(error instanceof NotAsn1)) throw error;
    throw new Malformed(`Certificate can't be read: ${error.message}`, "incorrect_certificate");
  }
}

/** The first certificate of a PEM text, which may begin with anything; null without one. */
function fromPem(text) {
  const block = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/.exec(text);
  try {
    return block && fromBase64(block[1]);
  } catch {
    throw new NotAsn1("the PEM block is no base64");
  }
}

function readCertificate(raw) {
  const [body, algorithm, signature] = parseElement(raw, SEQUENCE).children(3, 3);
  const parts = body.sequence(6);
  const version = parts[0].tag === 0xa0 ? parseInteger(parts.shift().children(1, 1)[0]) + 1n : 1n;
  const [serial, inner, issuer, validity, subject, key, ...more] = parts;
  const [first, last] = validity.sequence(2, 2).map(parseTime);
  if (!same(inner.raw, algorithm.raw)) throw new NotAsn1("two signature algorithms");
  const listed = more.find((part) => part.tag === 0xa3);
  return {
    raw,
    body: body.raw,
    version,
    serial: parseInteger(serial),
    serialRaw: serial.raw,
    issuer: issuer.need(SEQUENCE).raw,
    subject: subject.need(SEQUENCE).raw,
    subjectRdns: readName(subject),
    first,
    last,
    key: readKey(key),
    extensions: listed ? readExtensions(listed) : new Map(),
    algorithm: parseOid(algorithm.sequence(1, 2)[0]),
    signature: parseBits(signature),
  };
}

function readKey(info) {
  const [algorithm, bits] = info.sequence(2, 2);
  const [kind, parameters] = algorithm.sequence(1, 2);
  const key = { raw: info.raw, bits: parseBits(bits), kind: parseOid(kind), curve: null, size: 0 };
  if (key.kind === EC_KEY) {
    key.curve = (parameters && CURVES.get(parseOid(parameters))) || null;
    if (key.curve) checkPoint(key.bits, key.curve);
  } else if (key.kind === RSA_KEY) {
    const [modulus, exponent] = parseElement(key.bits, SEQUENCE).children(2, 2).map(parseInteger);
    if (modulus <= 0n || !(modulus & 1n) || exponent < 3n || !(exponent & 1n)) {
      throw new NotAsn1("an invalid key");
    }
    key.size = modulus.toString(2).length;
  }
  return key;
}

/** An uncompressed point must lie on its curve: y^2 = x^3 - 3x + b. */
function checkPoint(bits, { size, p, b }) {
  const [x, y] = [bits.subarray(1, 1 + size), bits.subarray(1 + size)].map((half) => BigInt(`0x${hex(half) || 0}`));
  const lies = x < p && y < p && (y * y - (x * x * x - 3n * x + b)) % p === 0n;
  if (bits.length !== 1 + 2 * size || bits[0] !== 4 || !lies) throw new NotAsn1("an invalid key");
}

function readExtensions(listed) {
  const found = new Map();
  for (const extension of listed.children(1, 1)[0].sequence(1)) {
    const [kind, ...rest] = extension.sequence(2, 3);
    const name = parseOid(kind);
    if (found.has(name)) throw new NotAsn1("an extension stands twice");
    found.set(name, rest.at(-1).need(OCTET_STRING).content);
  }
  return found;
}

/** A name as RDNs of attributes, each a type and a value: text, or `#` and hex. */
function readName(element) {
  return element.sequence().map((rdn) =>
    rdn.need(SET).children(1).map((attribute) => {
      const [kind, value] = attribute.sequence(2, 2);
      return { kind: parseOid(kind), value: attributeText(value) };
    }),
  );
}

function attributeText({ tag, content }) {
  try {
    if (tag === 0x1e) return new TextDecoder("utf-16be", { fatal: true }).decode(content);
    if ([0x0c, 0x13, 0x14, 0x16, 0x1a, 0x12].includes(tag)) return fromUtf8(content);
  } catch {
    throw new NotAsn1("a name that is not in its encoding");
  }
  return `#${hex(content)}`;
}

function describe(certificate) {
  const subject = [...certificate.subjectRdns]
    .reverse()
    .map((rdn) => rdn.map(({ kind, value }) => `${ATTRIBUTES.get(kind) || kind}=${value}`).join("+"))
    .join(",");
  return `'${subject}' (serial number ${certificate.serial})`;
}

const sameCertificate = (one, other) => same(one.raw, other.raw);

/** The bits of keyUsage as one number, the first bit highest; null without the extension. */
function keyUsage(certificate) {
  const raw = certificate.extensions.get(KEY_USAGE);
  if (!raw) return null;
  try {
    const { content } = parseElement(raw, BIT_STRING);
    return content.length > 1 ? content[1] : 0;
  } catch {
    return null;
  }
}

/** Whether it may sign messages: nonRepudiation, now called contentCommitment. */
const isSignCertificate = (certificate) => Boolean((keyUsage(certificate) || 0) & 0x40);

function hasExtendedUsage(certificate, usage) {
  const raw = certificate.extensions.get(EXTENDED_USAGE);
  try {
    return Boolean(raw) && parseElement(raw, SEQUENCE).children().map(parseOid).includes(usage);
  } catch {
    return false;
  }
}

const validAt = (certificate, at) => certificate.first <= at && at <= certificate.last;

async function keyIdentifier(certificate) {
  const raw = certificate.extensions.get(SUBJECT_KEY_ID);
  if (raw) return parseElement(raw, OCTET_STRING).content;
  return hash("SHA-1", certificate.key.bits);
}

// --- signatures -----------------------------------------------------------------------------------

/** Verify `signature` over `data`: PKCS#1, PSS with MGF1, or ECDSA with r and s side by side. */
async function verifyRaw(key, scheme, hashName, signature, data) {
  const rsa = { pkcs1: "RSASSA-PKCS1-v1_5", pss: "RSA-PSS" }[scheme];
  if (rsa ? key.kind !== RSA_KEY : key.kind !== EC_KEY || !key.curve) return false;
  const imported = rsa ? { name: rsa, hash: hashName } : { name: "ECDSA", namedCurve: key.curve.name };
  const algorithm = rsa
    ? { name: rsa, saltLength: DIGEST_SIZES[hashName] }
    : { name: "ECDSA", hash: hashName };
  try {
    const found = await crypto.subtle.importKey("spki", key.raw, imported, false, ["verify"]);
    return await crypto.subtle.verify(algorithm, found, signature, data);
  } catch {
    return false;
  }
}

/** ECDSA values in DER, as certificates, OCSP responses and time-stamps have them. */
function rawEcdsa(signature, curve) {
  const numbers = parseElement(signature, SEQUENCE).children(2, 2).map((part) => {
    const { content } = part.need(INTEGER);
    const bytes = content[0] === 0 ? content.subarray(1) : content;
    if (bytes.length > curve.size) throw new NotAsn1("a number that is too large");
    return concat(new Uint8Array(curve.size - bytes.length), bytes);
  });
  return concat(...numbers);
}

/** Verify a signature as X.509 has them; digests under SHA-256 never hold. */
async function verifyDer(key, hashName, signature, data) {
  if (!hashName) return false;
  if (key.kind === RSA_KEY) return verifyRaw(key, "pkcs1", hashName, signature, data);
  if (key.kind !== EC_KEY || !key.curve) return false;
  try {
    return await verifyRaw(key, "ecdsa", hashName, rawEcdsa(signature, key.curve), data);
  } catch (error) {
    if (error instanceof NotAsn1) return false;
    throw error;
  }
}

async function isIssuedBy(certificate, issuer) {
  if (!same(certificate.issuer, issuer.subject)) return false;
  const table = issuer.key.kind === RSA_KEY ? RSA_SIGNATURES : ECDSA_SIGNATURES;
  const hashName = table.get(certificate.algorithm);
  return verifyDer(issuer.key, hashName, certificate.signature, certificate.body);
}

/** Check that the CA of the trust list certified this certificate, valid at `at`. */
async function checkPath(leaf, anchor, at) {
  const none = (why) =>
    failed("certificate_path", "cannot_create_cert_path",
      `No valid certificate path from ${describe(leaf)} to an approved CA: ${why}`);
  if (sameCertificate(leaf, anchor)) return none("it is the trust anchor itself");
  if (!validAt(leaf, at)) {
    return none(`valid from ${timeText(leaf.first)} to ${timeText(leaf.last)}, judged at ${timeText(at)}`);
  }
  if (leaf.version !== 3n || leaf.serial <= 0n || leaf.serialRaw.length > 23) {
    return none("it is not a certificate of version 3 with a serial number");
  }
  if (!anchor.extensions.has(BASIC_CONSTRAINTS) || anchor.version !== 3n) {
    return none("the CA's certificate does not say that it is one");
  }
  for (const { key } of [leaf, anchor]) {
    if (key.kind === RSA_KEY ? key.size < 2048 : !key.curve) return none("a key that is too weak");
  }
  if (!(await isIssuedBy(leaf, anchor))) return none("the CA did not sign it");
  return passed("certificate_path", `${describe(leaf)} is certified by ${describe(anchor)} as of ${timeText(at)}`);
}

// --- whose certificate it is ----------------------------------------------------------------------

const PROFILE = /^ee\.ria\.xroad\.common\.certificateprofile\.impl\.(\w+)CertificateProfileInfoProvider$/;
const SUBJECT_FIELDS = {
  C: ["2.5.4.6", "country code"],
  O: ["2.5.4.10", "organization"],
  OU: ["2.5.4.11", "organization unit"],
  CN: ["2.5.4.3", "common name"],
  serial: ["2.5.4.5", "serial number"],
  category: ["2.5.4.15", "business category"],
  organization: ["2.5.4.97", "organization identifier"],
};

/** A subject attribute as X-Road reads it: with the escapes of its text form. */
function escapeValue(value) {
  let escaped = value.replace(/[,"\\+=<>;]/g, "\\$&");
  if (escaped.startsWith("#")) escaped = `\\${escaped}`;
  if (!/[^ ]/.test(escaped)) return "\\ ".repeat(escaped.length);
  return escaped.replace(/^ +| +$/g, (blanks) => "\\ ".repeat(blanks.length));
}

/** The last RDN that holds the type counts; of several attributes in it the first. */
function subjectValue(certificate, field) {
  const [kind] = SUBJECT_FIELDS[field];
  for (const rdn of [...certificate.subjectRdns].reverse()) {
    if (rdn.some((attribute) => attribute.kind === kind)) {
      const { value } = rdn[0];
      return value.startsWith("#") ? value : escapeValue(value);
    }
  }
  return null;
}

/** Class, code and instance that a signing certificate was issued to; throws Rejected. */
function memberOf(certificate, profile, instance) {
  const name = (PROFILE.exec(profile) || [])[1];
  const reader = Object.hasOwn(PROFILES, name || "") ? PROFILES[name] : null;
  if (!reader) throw new Rejected(`Unknown certificate profile '${profile}'`, "internal_error");
  const get = (field) => subjectValue(certificate, field);
  const need = (field, code = "incorrect_certificate") => {
    const value = get(field);
    if (value !== null) return value;
    throw new Rejected(`Certificate subject name does not contain ${SUBJECT_FIELDS[field][1]}`, code);
  };
  const parts = reader({ get, need, instance });
  if (parts.some((part) => !part.trim() || part.length > 255 || part.includes("\0"))) {
    throw new Rejected("Certificate subject name holds no member identifier", "incorrect_certificate");
  }
  return parts;
}

function needCountry(subject, country) {
  if (subject.get("C") === country) return;
  throw new Rejected(
    `Certificate subject name does not contain valid country code '${country}'`,
    "incorrect_certificate",
  );
}

const readBasic = ({ need, instance }) => [instance, need("category"), need("serial")];
const readAcme = ({ need, instance }) => [
  instance, need("category", "invalid_certificate"), need("serial", "invalid_certificate"),
];
const readEjbca = ({ need }) => [need("C"), need("O"), need("CN")];
const readUnits = ({ need }) => [need("O"), need("OU"), need("CN")];

function readNational(country) {
  return (subject) => {
    const { get, need } = subject;
    if (country !== "FO" && get("serial") === null && get("OU") === null) return readEjbca(subject);
    needCountry(subject, country);
    const parts = readUnits(subject);
    need("serial");
    return parts;
  };
}

function readFinnish(subject) {
  const { get, need } = subject;
  const number = get("serial");
  if (number === null && get("OU") === null) return readEjbca(subject);
  needCountry(subject, "FI");
  if (number === null) return readUnits(subject);
  need("O");
  const code = need("CN");
  const segments = number.replace(/\/+$/, "").split("/");
  if (segments.length !== 3) {
    throw new Rejected(
      `Serial number '${number}' in the certificate subject is no instance/server/class`,
      "incorrect_certificate",
    );
  }
  return [segments[0], segments[2], code];
}

function readKlass3({ get, instance }) {
  const organization = get("organization");
  if (organization) {
    for (const [prefix, kind] of [["NTREE-", "COM"], ["GO:EE-", "GOV"], ["NP:EE-", "NGO"]]) {
      if (organization.startsWith(prefix)) return [instance, kind, organization.slice(prefix.length)];
    }
    return [instance, "NEE", organization];
  }
  const number = get("serial");
  if (!number) throw new Rejected("Subject name does not contain serial number", "invalid_certificate");
  if (!/^\p{Nd}{8}$/u.test(number)) {
    throw new Rejected(
      `Serial number '${number}' in the certificate subject must be 8 digits`, "invalid_certificate",
    );
  }
  const kind = /^[1-6]/.test(number) ? "COM" : { 7: "GOV", 8: "NGO", 9: "NGO" }[number[0]];
  if (!kind) throw new Rejected(`Malformed serial number: ${number}`, "internal_error");
  return [instance, kind, number];
}

function readEsteId({ get, instance }) {
  const number = get("serial");
  if (!number) throw new Rejected("Subject name does not contain serial number", "invalid_certificate");
  return [instance, "PERSON", number];
}

const PROFILES = {
  Basic: readBasic,
  BasicACME: readAcme,
  Ejbca: readEjbca,
  FiVRK: readFinnish,
  Is: readNational("IS"),
  Fo: readNational("FO"),
  SkKlass3: readKlass3,
  SkEsteId: readEsteId,
};
