// Bytes, texts, digests, and the outcome of a check: what everything else is made of.

/** What was read does not have the form that it must have; `code` as in `sacbe verify`. */
class Malformed extends Error {
  constructor(text, code = "invalid_message") {
    super(text);
    this.code = code;
  }
}

/** A signature, certificate, hash chain or proof does not hold. */
class Rejected extends Malformed {
  constructor(text, code = "signature_verification") {
    super(text, code);
  }
}

/** The file is larger than this page judges: the command has no such bound. */
class TooLarge extends Error {}

const passed = (name, detail = "") => ({ name, outcome: "passed", detail, code: "" });
const failed = (name, code, detail) => ({ name, outcome: "failed", detail, code });
const undecided = (name, code, detail) => ({ name, outcome: "indeterminate", detail, code });
const noted = (name, detail) => ({ name, outcome: "warning", detail, code: "" });
const skipped = (name) => ({ name, outcome: "skipped", detail: "An earlier check failed", code: "" });

/** The worst outcome; no check at all fails. */
function verdictOf(checks) {
  const outcomes = new Set(checks.map((check) => check.outcome));
  if (!outcomes.size || outcomes.has("failed")) return "failed";
  return outcomes.has("indeterminate") || outcomes.has("skipped") ? "indeterminate" : "passed";
}

/** The check that decided: the first failed one, else the first undecided. */
function problemOf(checks) {
  for (const wanted of ["failed", "indeterminate", "skipped"]) {
    const found = checks.find((check) => check.outcome === wanted);
    if (found) return found;
  }
  return null;
}

const SHA256_URI = "http://www.w3.org/2001/04/xmlenc#sha256";
const SHA384_URI = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const SHA512_URI = "http://www.w3.org/2001/04/xmlenc#sha512";
const DIGESTS = new Map([
  [SHA256_URI, "SHA-256"],
  [SHA384_URI, "SHA-384"],
  [SHA512_URI, "SHA-512"],
]);
const DIGEST_SIZES = { "SHA-256": 32, "SHA-384": 48, "SHA-512": 64 };

/** Digest bytes by the browser: `SHA-256`, `SHA-384`, `SHA-512`, or `SHA-1` where OCSP has it. */
async function hash(name, data) {
  return new Uint8Array(await crypto.subtle.digest(name, data));
}

const digest = (uri, data) => hash(DIGESTS.get(uri), data);
const sha512 = (data) => hash("SHA-512", data);
const sha256 = (data) => hash("SHA-256", data);

function concat(...pieces) {
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

const same = (one, other) =>
  one.length === other.length && one.every((byte, place) => byte === other[place]);

const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

const utf8 = (text) => new TextEncoder().encode(text);

/** Text from UTF-8, byte order mark and all; throws TypeError for what is none. */
const fromUtf8 = (data) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);

/** One character per byte, for looking at bytes with regular expressions. */
function latin1(data) {
  let text = "";
  for (let at = 0; at < data.length; at += 8192) {
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  }
  return text;
}

function fromLatin1(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Decode base64 with or without white space between; one text for each bytes, else Error. */
function fromBase64(text) {
  const plain = (text || "").replace(/[ \t\r\n]/g, "");
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(plain)) {
    throw new Error("not base64");
  }
  const data = fromLatin1(atob(plain));
  if (toBase64(data) !== plain) throw new Error("not the canonical base64 of its bytes");
  return data;
}

const toBase64 = (data) => btoa(latin1(data));

/** Seconds, with `Z`. */
function timeText(at) {
  return at.toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/** The same as Python's `str.isprintable` as far as it matters here: no control characters. */
const isPrintable = (text) => !/[\p{C}\p{Zl}\p{Zp}]|[^\S ]/u.test(text);
