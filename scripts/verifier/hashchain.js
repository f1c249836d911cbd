// Hash trees: how one signature or time-stamp covers several parts of a message, or several
// messages. A chain leads from the top, which is signed, to the parts of one message.

const HASH_CHAIN = "http://cyber.ee/hashchain";
const XMLDSIG = "http://www.w3.org/2000/09/xmldsig#";
const MAX_CHAIN_BYTES = 4 * 1024 * 1024;
const MAX_STEPS = 64;
const CHAIN_NAME = "/sig-hashchain.xml";
const CHAIN_RESULT_NAME = "/sig-hashchainresult.xml";

const malformedChain = (reason) =>
  new Rejected(`Parsing hash chain failed: ${reason}`, "malformed_hash_chain");

function checkChainElement(element, ...allowed) {
  for (const name of attributesOf(element).keys()) {
    if (!allowed.includes(name)) throw malformedChain(`unexpected attribute ${name}`);
  }
  if (hasLooseText(element)) throw malformedChain("unexpected text");
}

/** The children's names, `ds:` for those of XMLDSig; comments and the like are refused. */
function chainTags(element) {
  const tags = [];
  for (const node of element.childNodes) {
    if (isMarkup(node)) throw malformedChain("a comment or processing instruction");
  }
  for (const child of element.children) {
    const prefix = { [HASH_CHAIN]: "", [XMLDSIG]: "ds:" }[child.namespaceURI];
    if (prefix === undefined) throw malformedChain(`unexpected element ${child.localName}`);
    tags.push(prefix + child.localName);
  }
  return tags;
}

function chainMethod(element) {
  checkChainElement(element, "Algorithm");
  const uri = element.getAttribute("Algorithm") || "";
  if (element.children.length || !DIGESTS.has(uri)) {
    throw malformedChain(`digest algorithm '${uri}' is not accepted`);
  }
  return uri;
}

function chainValue(element) {
  if (element.childNodes.length > 1 || element.children.length || attributesOf(element).size) {
    throw malformedChain("unexpected content in DigestValue");
  }
  try {
    return fromBase64(element.textContent);
  } catch {
    throw malformedChain("DigestValue is not base64");
  }
}

function chainRoot(raw, name) {
  const root = parseXml(raw, MAX_CHAIN_BYTES, "Hash chain");
  if (nameOf(root) !== `{${HASH_CHAIN}}${name}`) throw malformedChain(`the root element is not ${name}`);
  return root;
}

function parseChainResult(raw) {
  let root;
  try {
    root = chainRoot(raw, "HashChainResult");
  } catch (error) {
    if (error instanceof Malformed && !(error instanceof Rejected)) {
      throw new Rejected(`Hash chain result: ${error.message}`, "invalid_xml");
    }
    throw error;
  }
  checkChainElement(root, "URI");
  if (chainTags(root).join() !== "ds:DigestMethod,ds:DigestValue") {
    throw malformedChain("unexpected content of HashChainResult");
  }
  const [method, value] = root.children;
  return { uri: root.getAttribute("URI") || "", algorithm: chainMethod(method), digest: chainValue(value) };
}

/** The steps of a chain by their ids. */
function parseChain(raw) {
  let root;
  try {
    root = chainRoot(raw, "HashChain");
  } catch (error) {
    if (error instanceof Malformed && !(error instanceof Rejected)) throw malformedChain(error.message);
    throw error;
  }
  checkChainElement(root);
  const tags = chainTags(root);
  const steps = Array.from(root.children);
  let usual = null;
  if (tags[0] === "DefaultDigestMethod") {
    usual = chainMethod(steps.shift());
    tags.shift();
  }
  if (tags.some((tag) => tag !== "HashStep")) throw malformedChain("unexpected content of HashChain");
  const chain = new Map();
  for (const step of steps) {
    checkChainElement(step, "id");
    const name = step.getAttribute("id") || "";
    if (!name || chain.has(name)) throw malformedChain("a hash step without an id of its own");
    const kinds = chainTags(step);
    chain.set(name, Array.from(step.children, (one, place) => chainEntry(one, kinds[place], usual)));
  }
  return chain;
}

const CHAIN_CONTENT = { HashValue: "ds:DigestValue", StepRef: "", DataRef: "ds:DigestValue" };

function chainEntry(element, kind, usual) {
  if (!Object.hasOwn(CHAIN_CONTENT, kind)) throw malformedChain(`unexpected element ${kind}`);
  checkChainElement(element, ...(kind === "HashValue" ? [] : ["URI"]));
  const tags = chainTags(element);
  const rest = Array.from(element.children);
  let algorithm = usual;
  if (tags[0] === "ds:DigestMethod") {
    algorithm = chainMethod(rest.shift());
    tags.shift();
  }
  if (kind === "DataRef" && tags[0] === "ds:Transforms") {
    throw malformedChain("transforms are not accepted");
  }
  if (tags.join() !== CHAIN_CONTENT[kind]) throw malformedChain(`unexpected content of ${kind}`);
  const uri = element.getAttribute("URI") || "";
  if (!algorithm || (kind !== "HashValue" && !uri)) {
    throw malformedChain(`${kind} without digest algorithm or URI`);
  }
  return { kind, algorithm, uri, digest: rest.length ? chainValue(rest[0]) : new Uint8Array() };
}

/** The DER of a step's entries; its digest is the step's value. */
function stepDer(values) {
  return der(
    SEQUENCE,
    ...values.map(([uri, value]) =>
      der(SEQUENCE, der(OCTET_STRING, value), der(0x0c, utf8(uri)), Uint8Array.of(0x30, 0)),
    ),
  );
}

/** Which names the chain reaches, and the digests it states of what nobody could load.
 *
 * `files` are the chain files by name, `inputs` the names that must be reached, each with
 * `{digest, algorithm}` or null to have it loaded; `load` gives a part's bytes or undefined.
 */
async function verifyHashChain(result, files, inputs, load) {
  const top = parseChainResult(result);
  const walk = { files, inputs, load, chains: new Map(), visited: new Set(), reached: new Set(), unresolved: [] };
  if (!same(await digest(top.algorithm, await chainStep(walk, top.uri, "")), top.digest)) {
    throw new Rejected("Hash chain result does not match hash chain calculation", "invalid_hash_chain");
  }
  const unused = [...inputs.keys()].filter((name) => !walk.reached.has(name));
  if (unused.length) {
    throw new Rejected(
      `Some inputs were not referenced by hash chain: ${unused.sort().join(", ")}`,
      "hashchain_unused_inputs",
    );
  }
  for (const part of walk.unresolved) walk.reached.delete(part.name);
  return { covered: walk.reached, unresolved: walk.unresolved };
}

async function chainStep(walk, uri, current) {
  const [name, fragment = ""] = uri.split(/#(.*)/s);
  const file = name || current;
  const entries = fragment && file ? chainFile(walk, file).get(fragment) : undefined;
  if (!entries) throw new Rejected(`Invalid hash step URI: ${uri}`, "malformed_hash_chain");
  const place = `${file}#${fragment}`;
  if (walk.visited.has(place) || walk.visited.size === MAX_STEPS) {
    throw malformedChain("steps that run in a circle, or too many of them");
  }
  walk.visited.add(place);
  const values = [];
  for (const entry of entries) values.push([entry.algorithm, await entryDigest(walk, entry, file)]);
  return stepDer(values);
}

function chainFile(walk, name) {
  if (!walk.chains.has(name)) {
    if (!walk.files.has(name)) throw new Rejected(`Cannot resolve URI: ${name}`, "invalid_reference");
    walk.chains.set(name, parseChain(walk.files.get(name)));
  }
  return walk.chains.get(name);
}

async function entryDigest(walk, entry, current) {
  if (entry.kind === "HashValue") return entry.digest;
  if (entry.kind === "StepRef") return digest(entry.algorithm, await chainStep(walk, entry.uri, current));
  if (walk.reached.has(entry.uri)) throw malformedChain(`${entry.uri} is referenced twice`);
  walk.reached.add(entry.uri);
  const given = walk.inputs.get(entry.uri);
  if (given && given.algorithm === entry.algorithm) {
    if (!same(given.digest, entry.digest)) {
      throw new Rejected(`The digest of ${entry.uri} is not the one in the hash chain`, "invalid_hash_chain");
    }
    return entry.digest;
  }
  return loadedDigest(walk, entry);
}

async function loadedDigest(walk, entry) {
  const data = walk.load(entry.uri);
  if (data === undefined) {
    if (walk.inputs.has(entry.uri)) {
      throw new Rejected(`Cannot resolve URI: ${entry.uri}`, "invalid_reference");
    }
    walk.unresolved.push({ name: entry.uri, digest: entry.digest, algorithm: entry.algorithm });
    return entry.digest;
  }
  if (!same(await digest(entry.algorithm, data), entry.digest)) {
    throw new Rejected(
      `Invalid digest value in hash chain reference to ${entry.uri}`, "invalid_hash_chain_ref",
    );
  }
  return entry.digest;
}
