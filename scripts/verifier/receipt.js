// Receipts: everything that proves one exchange, in one file; and the way from each message up to
// a checkpoint of the node's log.

const RECEIPT_TYPE = "application/vnd.sacbe.receipt+zip";
const RECEIPT_FORM = "sacbe receipt 1";
const INVALID_RECEIPT = "invalid_receipt";
const INCONSISTENT = "inconsistent_receipt";
const NO_LOG_KEY = "missing_log_key";
const MAX_JSON_BYTES = 256 * 1024;
const MAX_SMALL_BYTES = 32 * 1024 * 1024;
const MAX_SMALL_TOTAL = 128 * 1024 * 1024;
const RECEIPT_PLACES = [
  /^exchange\.json$/,
  /^verificationconf\/(?:[^/]+\/)?[^/]+$/,
  /^signed\/[^/]+\/directory$/,
  /^log\/(?:request\.proof|response\.proof|key\.asice)$/,
];
const LIST_FILE = /^(?:instance-identifier|[^/]+\/(?:shared-params|nextupdate-params)\.xml(?:\.metadata)?)$/;

const invalidReceipt = (text) => new Malformed(text, INVALID_RECEIPT);

function isReceipt(data) {
  return latin1(data.subarray(0, 4)) === "PK\x03\x04"
    && latin1(data.subarray(30, 38 + RECEIPT_TYPE.length)) === `mimetype${RECEIPT_TYPE}`;
}

/** A JSON object in the one spelling that receipts have. */
function fromJson(raw, name) {
  try {
    const text = fromUtf8(raw);
    const found = JSON.parse(text, checkedMember);
    const plain = found !== null && typeof found === "object" && !Array.isArray(found);
    if (plain && `${JSON.stringify(found, null, 1)}\n` === text) return found;
  } catch {
    // told below
  }
  throw invalidReceipt(`${name} is no JSON object as receipts have it`);
}

/** Refuse what readers in other languages take for something else. */
function checkedMember(name, value) {
  const texts = [name, value].filter((one) => typeof one === "string");
  const number = typeof value === "number" && !Number.isSafeInteger(value);
  const numbered = !Array.isArray(this) && /^\p{Nd}+$/u.test(name);
  if (number || numbered || texts.some((text) => /\p{Surrogate}/u.test(text))) {
    throw new Error("not as receipts have it");
  }
  return value;
}

async function parseReceipt(data) {
  const entries = readEntries(data, 256);
  const small = entries.filter((entry) => !["request.asice", "response.asice"].includes(entry.name));
  if (small.reduce((size, entry) => size + entry.size, 0) > MAX_SMALL_TOTAL) {
    throw invalidReceipt("The receipt holds too much besides containers");
  }
  for (const { name, size } of small) {
    const limit = name.endsWith(".json") ? MAX_JSON_BYTES : MAX_SMALL_BYTES;
    if (size > limit) throw invalidReceipt(`${name} is larger than ${limit} bytes`);
  }
  const damage = [];
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const read = async (name) => {
    if (!byName.has(name)) throw invalidReceipt(`The receipt has no ${name}`);
    return unpack(byName.get(name), damage);
  };
  if (latin1(await read("mimetype")) !== RECEIPT_TYPE) throw invalidReceipt("The file is no receipt");
  const manifest = readManifest(await read("receipt.json"));
  const listed = ["mimetype", "receipt.json", ...manifest.digests.keys()];
  if (entries.map((entry) => entry.name).join("\0") !== listed.join("\0")) {
    throw invalidReceipt("receipt.json lists other entries than the file has");
  }
  const files = new Map();
  for (const [name, stated] of manifest.digests) {
    if (/^(?:request|response)\.asice$/.test(name) && byName.get(name).method !== 0) {
      throw invalidReceipt(`${name} is packed, which containers in receipts are not`);
    }
    const content = await read(name);
    if (hex(await sha512(content)) !== stated) {
      throw invalidReceipt(`${name} is not the one that receipt.json lists`);
    }
    files.set(name, content);
  }
  checkReceiptFiles(files);
  return { ...manifest, files, damage: [...damage, ...findOddities(entries)] };
}

function readManifest(raw) {
  const found = fromJson(raw, "receipt.json");
  const { form, issuer, without_proof: reason = "", files } = found;
  const known = Object.keys(found).every((name) => ["form", "issuer", "without_proof", "files"].includes(name));
  const typed = typeof issuer === "string" && typeof reason === "string" && Array.isArray(files);
  if (form !== RECEIPT_FORM || !known || !typed) {
    throw invalidReceipt(`receipt.json is not of the form '${RECEIPT_FORM}'`);
  }
  const digests = new Map();
  for (const item of files) {
    const { name, sha512: stated } = item || {};
    const plain = typeof name === "string" && typeof stated === "string" && /^[0-9a-f]{128}$/.test(stated);
    if (!plain || Object.keys(item).sort().join() !== "name,sha512") {
      throw invalidReceipt("receipt.json lists something that is no file");
    }
    digests.set(name, stated);
  }
  return { issuer, withoutProof: reason, digests };
}

function checkReceiptFiles(files) {
  if (!files.has("request.asice")) throw invalidReceipt("The receipt has no request.asice");
  for (const name of files.keys()) {
    if (["request.asice", "response.asice"].includes(name)) continue;
    if (!RECEIPT_PLACES.some((place) => place.test(name))) {
      throw invalidReceipt(`${name} has no place in a receipt`);
    }
  }
  if (files.has("log/response.proof") && !files.has("response.asice")) {
    throw invalidReceipt("The receipt has log/response.proof and no response.asice");
  }
}

/** The entries below a folder, by their names in it. */
function filesBelow(files, folder) {
  return new Map(
    [...files].filter(([name]) => name.startsWith(folder)).map(([name, raw]) => [name.slice(folder.length), raw]),
  );
}

function receiptTrustList(receipt) {
  const files = filesBelow(receipt.files, "verificationconf/");
  if (!files.has("instance-identifier")) throw malformedConf("The receipt has no trust list");
  for (const name of files.keys()) {
    if (name !== "instance-identifier" && !LIST_FILE.test(name)) {
      throw malformedConf(`${name} is no part of a trust list in a receipt`);
    }
  }
  return readTrustList(files);
}

/** What a receipt proves: checks in order, the exchange, each container's verdict, its places. */
async function judgeReceipt(data, { conf, anchors, at }) {
  let receipt;
  let believed;
  try {
    receipt = await parseReceipt(data);
    believed = conf || receiptTrustList(receipt);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { checks: [failed("receipt", error.code, error.message)], facts: null, containers: new Map(), places: [] };
  }
  const containers = new Map();
  const judge = async (name) => {
    const verdict = await judgeContainer(receipt.files.get(name), believed, at);
    containers.set(name, verdict);
    return verdict;
  };
  const request = await judge("request.asice");
  const response = receipt.files.has("response.asice") ? await judge("response.asice") : null;
  const { facts, check } = exchangeFacts(request.container);
  const log = await judgeLog(receipt, request, response, judge);
  const checks = [passed("receipt", `made by the node ${receipt.issuer}, as it says`)];
  checks.push(
    receipt.damage.length
      ? failed("packing", INVALID_RECEIPT, receipt.damage.join("; "))
      : passed("packing", "whole, as far as a browser can tell"),
  );
  if (!conf) {
    const signers = [...containers.values()].filter((one) => one.signer).map((one) => one.signer[0]);
    const needed = [...new Set([believed.own, ...signers])];
    checks.push(...(await checkTrustList(believed, needed, filesBelow(receipt.files, "signed/"), anchors)));
  }
  checks.push(containerCheck("request", request));
  if (response) checks.push(containerCheck("response", response));
  checks.push(check, await pairingCheck(request, response));
  if (facts) checks.push(...statementChecks(receipt, facts));
  checks.push(...log.checks);
  return { checks, facts, containers, places: log.places };
}

function containerCheck(name, { checks, signer, timestamp }) {
  const problem = problemOf(checks);
  if (problem) return { name, outcome: verdictOf(checks), detail: problem.detail, code: problem.code };
  const when = timestamp ? `, and that was seen at ${timeText(timestamp)}` : "";
  return passed(name, `signed by ${(signer || []).join("/")}${when}`);
}

function exchangeFacts(container) {
  if (!container) return { facts: null, check: skipped("exchange") };
  try {
    const facts = readFacts(container.message);
    if (facts.response) {
      return { facts: null, check: failed("exchange", INCONSISTENT, "request.asice holds a response") };
    }
    const text = `${facts.client.join("/")} asked ${facts.service.join("/")}`;
    return { facts, check: passed("exchange", text) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { facts: null, check: failed("exchange", error.code, error.message) };
  }
}

async function pairingCheck(request, response) {
  if (!response) return noted("pairing", "The receipt holds no response; it proves the request alone");
  if (!request.container || !response.container) return skipped("pairing");
  return checkPair(request.container, response.container);
}

/** The fields of `exchange.json` that the signed request proves; what is not said is absent. */
function statedFacts(facts) {
  const fields = {
    message_id: facts.messageId,
    client: facts.client.join("/"),
    service: facts.service.join("/"),
    user: facts.user,
    issue: facts.issue,
    represented_party: facts.party && facts.party.join("/"),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function statementChecks(receipt, facts) {
  const raw = receipt.files.get("exchange.json");
  if (!raw) return [noted("statement", "The node says nothing about purpose and access")];
  let stated;
  try {
    stated = fromJson(raw, "exchange.json");
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return [failed("statement", error.code, error.message)];
  }
  const signed = statedFacts(facts);
  for (const name of ["message_id", "client", "service", "user", "issue", "represented_party"]) {
    const [one, other] = [stated, signed].map((fields) => (Object.hasOwn(fields, name) ? fields[name] : null));
    if (one !== other) {
      const text = `exchange.json says another ${name.replace("_", " ")} than the signed request`;
      return [failed("statement", INCONSISTENT, text)];
    }
  }
  const checks = [passed("statement", "says what the signed request says")];
  if (Object.hasOwn(stated, "access")) {
    checks.push(noted("access", `As the node says, and no signature: ${accessText(stated.access)}`));
  }
  return checks;
}

function accessText(access) {
  const rights = access && Array.isArray(access.rights) ? access.rights : [null];
  if (!rights.length) return "the right by which it was allowed does not stand any more";
  const told = rights.map((right) => {
    const values = ["subject", "endpoint", "granted_at"].map((name) => right && right[name]);
    if (!values.every((value) => typeof value === "string")) return null;
    return `${values[0]} to call ${values[1]}, given at ${values[2]}`;
  });
  if (told.length && told.every(Boolean)) return `allowed by the right of ${told.join("; ")}`;
  return "a decision in a form that this verifier does not know";
}

// --- the log --------------------------------------------------------------------------------------

async function judgeLog(receipt, request, response, judge) {
  const proofs = [["request", request]];
  if (response) proofs.push(["response", response]);
  if (!proofs.some(([name]) => receipt.files.has(`log/${name}.proof`))) {
    const reason = receipt.withoutProof || "the receipt gives no reason";
    return { checks: [noted("log", `No proof that it is in the node's log: ${reason}`)], places: [] };
  }
  const announced = await announcementIn(receipt, judge);
  const checks = [announced.check];
  const places = [];
  for (const [name, { container }] of proofs) {
    const raw = receipt.files.get(`log/${name}.proof`);
    if (!raw) checks.push(noted(`${name}_logged`, "The receipt has no proof for it"));
    else if (!container) checks.push(skipped(`${name}_logged`));
    else {
      const check = await checkLogged(`${name}_logged`, raw, container, announced);
      checks.push(check);
      if (check.outcome === "passed") places.push(`${name}: ${check.detail}`);
    }
  }
  return { checks, places };
}

/** The announcement of the log's key, signed by the owner of the node; `key` null without one. */
async function announcementIn(receipt, judge) {
  const none = (check) => ({ check, key: null });
  if (!receipt.files.has("log/key.asice")) {
    const text = "Nothing says whose the key is that signs the log's checkpoints";
    return none(undecided("log_key", NO_LOG_KEY, text));
  }
  const { container, checks, signer } = await judge("log/key.asice");
  if (!container || verdictOf(checks) !== "passed" || !signer) {
    const { detail, code } = problemOf(checks);
    return none({ name: "log_key", outcome: verdictOf(checks), detail, code });
  }
  try {
    const announcement = await readAnnouncement(container.message, signer);
    if (announcement.server !== receipt.issuer) {
      const text = `The log is that of ${announcement.server}, the receipt of ${receipt.issuer}`;
      return none(failed("log_key", INCONSISTENT, text));
    }
    const text = `${signer.join("/")} says that its node's log is signed by ${announcement.key.text}`;
    return { check: passed("log_key", text), ...announcement };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return none(failed("log_key", error.code, error.message));
  }
}

async function checkLogged(name, raw, container, announced) {
  try {
    const proof = parseInclusionProof(raw);
    const note = parseNote(proof.note);
    const checkpoint = parseCheckpoint(note.text);
    await checkInclusion(await leafOf(container), proof, checkpoint);
    if (!announced.key) {
      const text = "The proof leads to a checkpoint, and whose that is is not proven";
      return undecided(name, NO_LOG_KEY, text);
    }
    const at = await checkCheckpoint(note, checkpoint, announced.key);
    if (at === null) {
      return undecided(name, "unsupported", "This browser can't verify Ed25519, so the checkpoint is not checked");
    }
    return passed(name, `number ${proof.index} of the ${checkpoint.size} records that the log of` +
      ` ${announced.server} had at ${timeText(at)}`);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return failed(name, error.code, error.message);
  }
}

/** The leaf under which a node logged a message, computed from its container. */
async function leafOf(container) {
  const lines = [
    "sacbe leaf 1",
    `message ${hex(await sha512(container.message))}`,
    `signature ${hex(await sha512(withoutTimestamp(container.signature)))}`,
  ];
  if (container.chainResult) lines.push(`hash-chain-result ${hex(await sha512(container.chainResult))}`);
  if (container.chain) lines.push(`hash-chain ${hex(await sha512(container.chain))}`);
  const digests = await attachmentDigests(container);
  digests.forEach((one, place) => lines.push(`attachment${place + 1} ${hex(one)}`));
  return sha256(concat(Uint8Array.of(0), utf8(`${lines.join("\n")}\n`)));
}

/** The signature file as it was before a time-stamp was put into it. */
function withoutTimestamp(signature) {
  const text = latin1(signature);
  const tags = [
    ...text.matchAll(/<xades:UnsignedSignatureProperties(?:\s+[^\s=<>"']+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*>/g),
  ];
  if (tags.length !== 1) {
    throw malformedSignature("Could not find one element xades:UnsignedSignatureProperties");
  }
  const place = tags[0].index + tags[0][0].length;
  const stamp =
    /^<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>[A-Za-z0-9+/]+={0,2}<\/xades:EncapsulatedTimeStamp><\/xades:SignatureTimeStamp>/;
  const rest = text.slice(place);
  return fromLatin1(text.slice(0, place) + rest.replace(stamp, ""));
}
