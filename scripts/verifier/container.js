// ASiC-E containers: one message with everything that proves it. Read, and judged with a trust list.

const CONTAINER_TYPE = "application/vnd.etsi.asic-e+zip";
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const MAX_EVIDENCE_BYTES = 4 * 1024 * 1024;
const NO_TRUST_LIST = "unknown_instance";
const ATTACHMENT = /^attachment[1-9][0-9]{0,3}$/;
const OLD_CHAINS = ["hashchain.xml", "hashchainresult.xml"];
const SIGNATURE_FILE = "META-INF/signatures.xml";
const TIMESTAMP_FILE = "META-INF/timestamp.tst";
const MANIFEST_FILE = "META-INF/manifest.xml";
const ASIC_MANIFEST_FILE = "META-INF/ASiCManifest.xml";
const CHAIN_FILES = ["sig-hashchainresult.xml", "sig-hashchain.xml"];
const STAMP_CHAIN_FILES = ["ts-hashchainresult.xml", "ts-hashchain.xml"];
const KNOWN_FILES = [
  "mimetype", "message.xml", SIGNATURE_FILE, ...CHAIN_FILES, ...STAMP_CHAIN_FILES, MANIFEST_FILE,
  ASIC_MANIFEST_FILE, TIMESTAMP_FILE,
];

/** A container, read and not believed; throws Malformed. */
async function parseContainer(data) {
  const entries = readEntries(data);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const damage = [];
  const file = async (name, code, needed = false) => {
    const entry = byName.get(name);
    if (!entry && !needed) return null;
    if (!entry) throw new Malformed(`The container has no ${name}`, code);
    const limit = name === "message.xml" ? MAX_MESSAGE_BYTES : MAX_EVIDENCE_BYTES;
    if (entry.size > limit) throw broken(`${name} is larger than ${limit} bytes`);
    const content = await unpack(entry, damage);
    if (content.every((byte) => [9, 10, 11, 12, 13, 32].includes(byte))) {
      throw new Malformed(`${name} is empty`, code);
    }
    return content;
  };
  const pair = async ([result, chain]) => {
    const there = byName.has(result) || byName.has(chain);
    return [
      await file(result, "asic_hash_chain_result_not_found", there),
      await file(chain, "asic_hash_chain_not_found", there),
    ];
  };
  const mimetype = await file("mimetype", "asic_mime_type_not_found", true);
  if (latin1(mimetype) !== CONTAINER_TYPE) {
    throw new Malformed("The container is not of type ASiC-E", "asic_invalid_mime_type");
  }
  const message = await file("message.xml", "asic_message_not_found", true);
  const signature = await file(SIGNATURE_FILE, "asic_signature_not_found", true);
  const [chainResult, chain] = await pair(CHAIN_FILES);
  const [stampChainResult, stampChain] = await pair(STAMP_CHAIN_FILES);
  const timestamp = await file(TIMESTAMP_FILE, "asic_timestamp_not_found");
  const manifest = await file(MANIFEST_FILE, "asic_manifest_not_found");
  const asicManifest = await file(ASIC_MANIFEST_FILE, "asic_manifest_not_found");
  const attachments = await readAttachments(entries, damage);
  const others = await readOthers(entries, damage);
  return {
    message, signature, chainResult, chain, stampChainResult, stampChain, timestamp, manifest,
    asicManifest, attachments, others, damage: [...damage, ...findOddities(entries)],
  };
}

async function readAttachments(entries, damage) {
  const listed = entries.filter((entry) => ATTACHMENT.test(entry.name));
  listed.sort((one, other) => Number(one.name.slice(10)) - Number(other.name.slice(10)));
  const found = [];
  for (const entry of listed) found.push({ name: entry.name, data: await unpack(entry, damage) });
  return found;
}

/** Names of entries that no container has; they are read to the end for their checksums. */
async function readOthers(entries, damage) {
  const names = [];
  for (const entry of entries) {
    if (KNOWN_FILES.includes(entry.name) || ATTACHMENT.test(entry.name)) continue;
    await unpack(entry, damage);
    if (entry.name !== "META-INF/") names.push(entry.name);
  }
  return names;
}

/** The entries that a manifest lists, by name, in their order; without attachments. */
function listedFiles(container) {
  const found = {
    "message.xml": container.message,
    "sig-hashchainresult.xml": container.chainResult,
    "sig-hashchain.xml": container.chain,
    "ts-hashchainresult.xml": container.stampChainResult,
    "ts-hashchain.xml": container.stampChain,
  };
  return Object.keys(found).filter((name) => found[name]);
}

/** What a container proves: checks in order, signer, times, and its parts. */
async function judgeContainer(data, conf, at) {
  let container;
  try {
    container = await parseContainer(data);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const checks = [failed("container", error.code, error.message)];
    return { container: null, checks, signer: null, signedAt: null, timestamp: null, parts: [] };
  }
  return { container, ...(await verifyContainer(container, conf, at)) };
}

async function verifyContainer(container, conf, at) {
  const content = await verifyContent(await signedMessage(container));
  const holds = verdictOf([...content.coverage, ...content.values]) === "passed";
  const { sender, check } = findSender(container.message);
  const known = !sender || conf.instances.has(sender[0]);
  const stamp = content.signature
    ? await judgeTime(container, content.signature, conf, at)
    : { time: null, checks: [], failed: false };
  const checks = [
    passed("container", `${container.message.length} bytes of message`),
    check,
    ...content.coverage,
    ...(known ? stamp.checks : undecidedTime(stamp.checks, sender)),
  ];
  let signer = null;
  if (sender && known && !stamp.failed) {
    const judged = await judgeSigner(content, sender, conf, stamp.time || at);
    checks.push(...judged);
    const found = judged.find((one) => one.name === "signer");
    if (holds && found && found.outcome === "passed") signer = sender.slice(0, 3);
  } else {
    checks.push(...content.values);
    if (sender && !known) {
      checks.push(undecided("signer", NO_TRUST_LIST, noTrustList(sender)));
    } else {
      checks.push(skipped("signer"));
    }
    checks.push(skipped("certificate_path"), skipped("ocsp_response"));
  }
  checks.push(...(await checkSurroundings(container, content)));
  return {
    checks,
    signer,
    signedAt: content.signature && holds ? content.signature.signingTime : null,
    timestamp: stamp.time,
    parts: partsOf(container, content, verdictOf([...content.coverage, ...content.values])),
  };
}

const noTrustList = (sender) => `There is no trust list for instance ${sender[0]}`;

async function signedMessage(container) {
  const parts = new Map([
    ["/message.xml", { digest: await sha512(container.message), algorithm: SHA512_URI }],
  ]);
  const used = container.attachments.length ? await usedAlgorithms(container) : new Map();
  for (const { name, data } of container.attachments) {
    const algorithm = used.get(`/${name}`) || SHA512_URI;
    parts.set(`/${name}`, { digest: await digest(algorithm, data), algorithm });
  }
  return {
    signature: container.signature,
    parts,
    data: new Map([["/message.xml", container.message]]),
    chainResult: container.chainResult,
    chain: container.chain,
  };
}

/** Which digest the signature or its chain uses for a part; empty when they can't be read. */
async function usedAlgorithms(container) {
  const used = new Map();
  try {
    const { references } = await parseSignature(container.signature);
    const steps = container.chain ? parseChain(container.chain) : new Map();
    for (const step of steps.values()) for (const entry of step) used.set(entry.uri, entry.algorithm);
    for (const reference of references) used.set(reference.name, reference.algorithm);
    return used;
  } catch (error) {
    if (error instanceof Rejected) return new Map();
    throw error;
  }
}

async function judgeSigner(content, sender, conf, at) {
  const checks = [];
  if (!content.signature) {
    return ["certificate_usage", "signer", "signature_value", "references", "certificate_path",
      "ocsp_response"].map(skipped);
  }
  const { certificate, ocspResponses } = content.signature;
  const instance = conf.instances.get(sender[0]);
  const issuer = issuerOf(certificate, instance);
  if (isSignCertificate(certificate)) {
    checks.push(passed("certificate_usage", "nonRepudiation"));
  } else {
    const text = `Certificate ${describe(certificate)} is not a signing certificate`;
    checks.push(failed("certificate_usage", "malformed_signature", text));
  }
  checks.push(checkSigner(certificate, issuer, sender), ...content.values);
  if (!issuer) return [...checks, skipped("certificate_path"), skipped("ocsp_response")];
  const anchor = issuer.authority.certificate;
  checks.push(await checkPath(certificate, anchor, at));
  checks.push(await checkOcsp(ocspResponses, certificate, anchor, conf, at, instance));
  return checks;
}

/** The CA of the instance's list that the certificate names; the last of two with one name. */
function issuerOf(certificate, instance) {
  let found = null;
  for (const ca of instance.cas) {
    for (const authority of ca.authorities) {
      if (same(authority.certificate.subject, certificate.issuer)) found = { ca, authority };
    }
  }
  return found && found.ca.authenticationOnly ? null : found;
}

function checkSigner(certificate, issuer, sender) {
  if (!issuer) {
    return failed("signer", "internal_error",
      "Certificate is not issued by approved certification service provider.");
  }
  let member;
  try {
    member = memberOf(certificate, issuer.ca.profile, sender[0]);
  } catch (error) {
    if (!(error instanceof Rejected)) throw error;
    return failed("signer", error.code, error.message);
  }
  if (member.join("\0") !== sender.slice(0, 3).join("\0")) {
    return failed("signer", "incorrect_certificate",
      `Name in certificate (${member.join("/")}) does not match name in message (${sender.join("/")})`);
  }
  return passed("signer", member.join("/"));
}

// --- time -----------------------------------------------------------------------------------------

async function judgeTime(container, signature, conf, at) {
  const stamped = container.stampChainResult;
  const token = container.timestamp || signature.timestamp;
  const chain = stamped ? [await checkTimestampChain(container, stamped)] : [];
  const chainFails = chain.some((check) => check.outcome === "failed");
  if (!token) {
    if (chain.length) {
      const text = "There is a hash chain and no time-stamp";
      return { time: null, checks: [...chain, failed("timestamp", "malformed_signature", text)], failed: true };
    }
    const text = `There is none: judged for ${timeText(at)}. X-Road refuses it like that`;
    return { time: null, checks: [noted("timestamp", text)], failed: false };
  }
  const services = [...conf.instances.values()].flatMap((instance) => instance.tsas);
  const verdict = await checkTimestamp(token, stamped || signature.value, services);
  const bad = chainFails || verdict.check.outcome === "failed";
  return { time: bad ? null : verdict.time, checks: [...chain, verdict.check], failed: bad };
}

async function checkTimestampChain(container, result) {
  const name = `/${SIGNATURE_FILE}`;
  const files = new Map([["/ts-hashchain.xml", container.stampChain]]);
  try {
    const load = (wanted) => (wanted === name ? container.signature : undefined);
    await verifyHashChain(result, files, new Map([[name, null]]), load);
  } catch (error) {
    if (!(error instanceof Rejected)) throw error;
    const text = `Failed to verify time-stamp hash chain: ${error.message}`;
    return failed("timestamp_chain", "malformed_signature", text);
  }
  return passed("timestamp_chain", `leads to ${name}`);
}

/** Without the instance's trust list nobody can say whether its services made the time-stamp. */
function undecidedTime(checks, sender) {
  const codes = ["mlog.tsp_certificate_not_found", "mlog.no_timestamping_provider_found"];
  return checks.map((check) =>
    check.outcome === "failed" && codes.includes(check.code)
      ? undecided(check.name, NO_TRUST_LIST, noTrustList(sender))
      : check,
  );
}

// --- the container itself -------------------------------------------------------------------------

function unusedChain(container, content) {
  const found = OLD_CHAINS.filter((name) => container.others.includes(name));
  const used = content.signature && content.signature.references_.has(CHAIN_RESULT_NAME);
  const listed = listedFiles(container);
  return used ? found : [...CHAIN_FILES.filter((name) => listed.includes(name)), ...found];
}

function partsOf(container, content, verdict) {
  const proven = verdict === "passed" ? content.covered : new Set();
  const names = [
    "/message.xml",
    ...container.attachments.map(({ name }) => `/${name}`),
    ...content.absent.map(({ name }) => name),
    ...unusedChain(container, content).map((name) => `/${name}`),
    ...container.others.filter((name) => !OLD_CHAINS.includes(name)).map((name) => `/${name}`),
  ];
  return names.map((name) => ({ name, covered: proven.has(name) }));
}

async function checkSurroundings(container, content) {
  const checks = content.absent.map((part) =>
    noted("absent_part", `${part.name} is not in the container; its digest should be ${hex(part.digest)}`),
  );
  const old = container.others.filter((name) => OLD_CHAINS.includes(name));
  if (old.length) checks.push(noted("hash_chain", `Nothing refers to ${old.join(", ")}`));
  const foreign = container.others.filter((name) => !OLD_CHAINS.includes(name));
  if (foreign.length) {
    const text = `The signature does not cover ${foreign.join(", ")}`;
    checks.push(failed("foreign_entries", INVALID_CONTAINER, text));
  }
  checks.push(sound("manifest", await manifestOddities(container, content), "fits the container"));
  checks.push(sound("packing", container.damage, "whole, as far as a browser can tell"));
  return checks;
}

const sound = (name, odd, good) =>
  odd.length ? failed(name, INVALID_CONTAINER, odd.join("; ")) : passed(name, good);

async function manifestOddities(container, content) {
  const optional = unusedChain(container, content);
  const names = [...listedFiles(container), ...container.attachments.map(({ name }) => name)];
  const present = names.filter((name) => !optional.includes(name));
  const odd = [];
  if (container.manifest) odd.push(...findManifestOddities(container.manifest, present, optional));
  if (container.asicManifest) odd.push(...(await findAsicManifestOddities(container)));
  return odd;
}

const OPENDOCUMENT = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0";
const ASIC_2918 = "http://uri.etsi.org/2918/v1.2.1#";
const mediaType = (name) => (name.startsWith("attachment") ? "application/octet-stream" : "text/xml");

function manifestRoot(raw, name) {
  const root = parseXml(raw, 1024 * 1024, "The manifest");
  if (nameOf(root) !== name || !standsAlone(root)) throw new Malformed("another form");
  return root;
}

function needForm(condition) {
  if (!condition) throw new Malformed("The manifest has another form than expected", "invalid_xml");
}

function findManifestOddities(raw, present, optional) {
  let listed;
  try {
    const root = manifestRoot(raw, `{${OPENDOCUMENT}}manifest`);
    needForm(!hasLooseText(root));
    listed = Array.from(root.childNodes).filter((node) => node.nodeType !== Node.TEXT_NODE).map(manifestEntry);
    const attributes = attributesOf(root);
    needForm([...attributes.keys()].every((name) => name === `{${OPENDOCUMENT}}version`));
    needForm((attributes.get(`{${OPENDOCUMENT}}version`) || "1.2") === "1.2");
  } catch (error) {
    if (error instanceof Malformed) return ["META-INF/manifest.xml is malformed"];
    throw error;
  }
  const odd = [];
  const names = listed.map(({ path }) => path);
  if (new Set(names).size !== names.length) odd.push("META-INF/manifest.xml lists an entry twice");
  const missing = present.filter((name) => !names.includes(name));
  if (missing.length) odd.push(`META-INF/manifest.xml does not list ${missing.sort().join(", ")}`);
  const excess = names.filter((name) => !["/", ...present, ...optional].includes(name));
  if (excess.length) odd.push(`META-INF/manifest.xml lists what is not there: ${excess.sort().join(", ")}`);
  for (const { path, kind } of listed) {
    if (kind !== (path === "/" ? CONTAINER_TYPE : mediaType(path))) {
      odd.push(`META-INF/manifest.xml gives ${path} another type`);
    }
  }
  return odd;
}

function manifestEntry(node) {
  needForm(node.nodeType === Node.ELEMENT_NODE && nameOf(node) === `{${OPENDOCUMENT}}file-entry`);
  const attributes = attributesOf(node);
  const [path, kind] = ["full-path", "media-type"].map((name) => attributes.get(`{${OPENDOCUMENT}}${name}`));
  needForm(attributes.size === 2 && path !== undefined && kind !== undefined);
  needForm(!node.children.length && !node.textContent.trim());
  return { path, kind };
}

async function findAsicManifestOddities(container) {
  let stated;
  try {
    stated = stampedReference(manifestRoot(container.asicManifest, `{${ASIC_2918}}ASiCManifest`));
  } catch (error) {
    if (error instanceof Malformed) return ["META-INF/ASiCManifest.xml is malformed"];
    throw error;
  }
  if (!container.timestamp || !container.stampChainResult) {
    return ["META-INF/ASiCManifest.xml speaks of a time-stamp that is not there"];
  }
  if (!same(await digest(stated.algorithm, container.stampChainResult), stated.value)) {
    return ["META-INF/ASiCManifest.xml has another digest for ts-hashchainresult.xml"];
  }
  return [];
}

function stampedReference(root) {
  const hasOnly = (element, wanted) => {
    const found = attributesOf(element);
    return found.size === Object.keys(wanted).length
      && Object.entries(wanted).every(([name, value]) => found.get(name) === value);
  };
  const [reference, data, ...more] = root.children;
  needForm(!more.length && data && nameOf(reference) === `{${ASIC_2918}}SigReference`);
  needForm(nameOf(data) === `{${ASIC_2918}}DataObjectReference` && hasOnly(root, {}));
  needForm(hasOnly(reference, { URI: TIMESTAMP_FILE, MimeType: "vnd.etsi.timestamp-token" }));
  needForm(hasOnly(data, { URI: "ts-hashchainresult.xml", MimeType: "text/xml" }));
  const [method, value, ...further] = data.children;
  needForm(!further.length && value && nameOf(method) === `{${DS}}DigestMethod`);
  needForm(nameOf(value) === `{${DS}}DigestValue`);
  const algorithm = method.getAttribute("Algorithm") || "";
  needForm(attributesOf(method).size === 1 && DIGESTS.has(algorithm));
  needForm(!attributesOf(value).size && !value.children.length);
  needForm(![root, data].some((element) => hasLooseText(element)));
  needForm(![reference, method].some((element) => element.textContent.trim() || element.children.length));
  try {
    return { algorithm, value: fromBase64(value.textContent) };
  } catch {
    throw new Malformed("no base64", "invalid_xml");
  }
}
