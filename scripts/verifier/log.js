// A node's log: inclusion proofs, checkpoints in signed notes, and whose key signs them.

const MAX_LEAVES = (1n << 63n) - 1n;
const MAX_NOTE_BYTES = 64 * 1024;
const MAX_PROOF_HASHES = 64;
const LOG_KEY_KIND = 1;
const WITNESS_KEY_KIND = 4;
const DASH = "\u2014 ";

const badProof = (text) => new Rejected(text, "invalid_inclusion_proof");
const unsigned = (text) => new Rejected(text, "invalid_signature_value");

function plainNumber(text) {
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > MAX_LEAVES) {
    throw new Malformed("a size or place is not a plain number");
  }
  return BigInt(text);
}

function hashLine(text) {
  try {
    const value = fromBase64(text);
    if (value.length === 32 && toBase64(value) === text) return value;
  } catch {
    // told below
  }
  throw new Malformed("a hash has another length");
}

/** The text form: its place, the way up, and the signed checkpoint. */
function parseInclusionProof(raw) {
  const text = latin1(raw);
  const first = "c2sp.org/tlog-proof@v1\n";
  if (!text.startsWith(first)) throw new Malformed("not an inclusion proof");
  const { head, hashes, note } = framedNote(raw.subarray(first.length), "index ");
  return { index: head, hashes, note };
}

function framedNote(raw, prefix) {
  if (raw.length > MAX_NOTE_BYTES + 4096) throw new Malformed("too much around a checkpoint");
  const text = latin1(raw);
  const blank = text.indexOf("\n\n");
  const [first, ...lines] = text.slice(0, Math.max(blank, 0)).split("\n");
  if (blank < 0 || !first.startsWith(prefix) || lines.length > MAX_PROOF_HASHES) {
    throw new Malformed("not a proof with a checkpoint");
  }
  return {
    head: plainNumber(first.slice(prefix.length)),
    hashes: lines.map(hashLine),
    note: raw.subarray(blank + 2),
  };
}

/** A note as it was read: its text with the last line end, and signature lines. */
function parseNote(raw) {
  const bad = (text) => new Malformed(text);
  if (raw.length > MAX_NOTE_BYTES) throw bad("a note that is too large");
  let whole;
  try {
    whole = fromUtf8(raw);
  } catch {
    throw bad("a note that is not UTF-8");
  }
  if (/[\0-\x09\x0b-\x1f]/.test(whole)) throw bad("a note with control characters");
  const blank = whole.lastIndexOf("\n\n");
  const lines = whole.slice(blank + 2).split("\n");
  if (blank < 1 || lines.pop() !== "" || lines.length < 1 || lines.length > 256) throw bad("not a signed note");
  return { text: whole.slice(0, blank + 1), signatures: lines.map(signatureLine) };
}

function isKeyName(name) {
  return name.length > 0 && name.length <= 2048 && isPrintable(name) && !name.includes("+") && !/\s/.test(name);
}

function signatureLine(line) {
  const bad = () => new Malformed("not a signature line of a note");
  if (!line.startsWith(DASH)) throw bad();
  const [name, ...rest] = line.slice(DASH.length).split(" ");
  let data;
  try {
    data = fromBase64(rest.join(" "));
  } catch {
    throw bad();
  }
  if (!isKeyName(name) || data.length < 5 || line !== `${DASH}${name} ${toBase64(data)}`) throw bad();
  return { name, keyId: data.subarray(0, 4), value: data.subarray(4) };
}

function parseCheckpoint(text) {
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.length < 3) throw new Malformed("not the text of a checkpoint");
  const [origin, size, root] = lines;
  if (lines.some((line) => !line || !isPrintable(line))) throw new Malformed("not a checkpoint");
  return { origin, size: plainNumber(size), root: hashLine(root) };
}

const nodeHash = (left, right) => sha256(concat(Uint8Array.of(1), left, right));

/** Throw Rejected unless the proof leads from the leaf to the checkpoint's root. */
async function checkInclusion(leaf, { index, hashes }, { size, root }) {
  if (index >= size) throw badProof(`leaf ${index} is not in a tree of ${size} leaves`);
  let node = leaf;
  let place = index;
  let last = size - 1n;
  for (const sibling of hashes) {
    if (!last) throw badProof("the inclusion proof is too long");
    if (place & 1n || place === last) {
      node = await nodeHash(sibling, node);
      while (!(place & 1n) && place) [place, last] = [place >> 1n, last >> 1n];
    } else {
      node = await nodeHash(node, sibling);
    }
    [place, last] = [place >> 1n, last >> 1n];
  }
  if (last) throw badProof("the inclusion proof is too short");
  if (!same(node, root)) throw badProof(`the inclusion proof of leaf ${index} does not lead to the root`);
}

// --- keys -----------------------------------------------------------------------------------------

const keyIdOf = async (name, kind, key) =>
  (await sha256(concat(utf8(`${name}\n`), Uint8Array.of(kind), key))).subarray(0, 4);

/** The text form of a log's key: name, key id and key. */
async function parseNoteKey(text) {
  const bad = () => new Malformed("not the text of a note's key");
  const [name, id, ...rest] = text.split("+");
  let data;
  try {
    data = fromBase64(rest.join("+"));
  } catch {
    throw bad();
  }
  if (!isKeyName(name) || data.length !== 33) throw bad();
  const key = { name, kind: data[0], public: data.subarray(1), text };
  if (key.kind !== LOG_KEY_KIND && key.kind !== WITNESS_KEY_KIND) throw bad();
  key.id = await keyIdOf(name, key.kind, key.public);
  if (`${name}+${hex(key.id)}+${toBase64(data)}` !== text) {
    throw new Malformed(`the key id of ${name} is not ${id}`);
  }
  return key;
}

let ed25519 = null; // whether this browser has it; not known yet

async function verifyEd25519(key, signature, data) {
  if (ed25519 === null) {
    ed25519 = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]).then(() => true, () => false);
  }
  if (!ed25519) return null;
  try {
    const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", imported, signature, data);
  } catch {
    return false;
  }
}

/** When the log's key signed the checkpoint; null when the browser can't tell. */
async function checkCheckpoint(note, checkpoint, key) {
  const own = note.signatures.filter((one) => one.name === key.name && same(one.keyId, key.id));
  if (key.kind !== LOG_KEY_KIND || !own.length) throw unsigned(`the note is not signed by ${key.name}`);
  for (const { value } of own) {
    const holds = value.length === 64 && (await verifyEd25519(key.public, value, utf8(note.text)));
    if (holds === null) return null;
    if (!holds) throw unsigned(`the signature of ${key.name} does not hold`);
  }
  const witness = await keyIdOf(key.name, WITNESS_KEY_KIND, key.public);
  const timed = note.signatures.filter((one) => one.name === key.name && same(one.keyId, witness));
  const times = [];
  for (const { value } of timed) {
    const seconds = value.subarray(0, 8).reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
    if (value.length !== 72 || seconds > 253402300799n) {
      throw unsigned(`the cosignature of ${key.name} has no time`);
    }
    const signed = utf8(`cosignature/v1\ntime ${seconds}\n${note.text}`);
    if (!(await verifyEd25519(key.public, value.subarray(8), signed))) {
      throw unsigned(`the signature of ${key.name} does not hold`);
    }
    times.push(Number(seconds) * 1000);
  }
  if (!times.length) throw unsigned("the checkpoint does not say when it was signed");
  if (checkpoint.origin !== key.name) throw unsigned("the checkpoint is another log's");
  return new Date(Math.max(...times));
}

// --- whose log it is ------------------------------------------------------------------------------

/** The announcement in a message that `signer` (instance, class, code) has signed. */
async function readAnnouncement(message, signer) {
  const bad = () => new Malformed("not an announcement of a log");
  let text;
  try {
    text = fromUtf8(message);
  } catch {
    throw bad();
  }
  const [method, target, ...lines] = text.split("\r\n");
  if (method !== "PUT" || !(target || "").endsWith("/sacbe-witness")) throw bad();
  const key = await parseNoteKey(onlyHeader(lines, "x-sacbe-log-key"));
  if (key.kind !== LOG_KEY_KIND) throw new Malformed("an announcement names a log's key");
  const server = serverOfLog(key.name);
  if (server.slice(0, 3).join("\0") !== signer.join("\0")) {
    throw new Rejected(`${signer.join("/")} does not own ${server.join("/")}`, "invalid_client_identifier");
  }
  const { note } = framedNote(offerOf(onlyHeader(lines, "x-sacbe-offer")), "old ");
  await checkAnnounced(note, key);
  return { key, server: key.name.slice("sacbe/".length).replace(/%2B/g, "+") };
}

/** The announced checkpoint must be signed by the announced key. */
async function checkAnnounced(raw, key) {
  try {
    const note = parseNote(raw);
    await checkCheckpoint(note, parseCheckpoint(note.text), key);
  } catch (error) {
    if (error instanceof Malformed) throw unsigned(error.message);
    throw error;
  }
}

function onlyHeader(lines, wanted) {
  const found = lines
    .filter((line) => line.slice(0, Math.max(line.indexOf(":"), 0)).toLowerCase() === wanted)
    .map((line) => line.slice(line.indexOf(":") + 1));
  if (found.length !== 1) throw new Malformed(`an announcement has one header ${wanted}, not ${found.length}`);
  return found[0];
}

function offerOf(text) {
  try {
    return fromBase64(text);
  } catch {
    throw new Malformed("an offer is not base64");
  }
}

/** The node whose log has this name. */
function serverOfLog(origin) {
  const segments = origin.startsWith("sacbe/") ? origin.slice(6).split("/") : [];
  if (segments.length !== 4) throw new Malformed("not the name of a node's log");
  return checkedParts(segments.map(decodeSegment));
}
