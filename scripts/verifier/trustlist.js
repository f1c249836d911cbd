// Trust lists: which authorities, responders and time-stamping services an instance approves; and
// how a list is tied to the anchor of the instance's operator.

const MALFORMED_CONF = "malformed_global_conf";
const MAX_LIST_BYTES = 32 * 1024 * 1024;
const malformedConf = (text) => new Malformed(text, MALFORMED_CONF);

/** The files of a trust list by their paths in its folder; throws Malformed.
 *
 * All of it is held to its structure; what is kept is what verdicts depend on.
 */
function readTrustList(files) {
  const raw = files.get("instance-identifier");
  if (!raw) throw malformedConf("There is no trust list");
  let own;
  try {
    own = fromUtf8(raw).trim();
  } catch {
    throw malformedConf("instance-identifier holds no name of an instance");
  }
  instanceFolder(own);
  const instances = new Map();
  const reasons = new Map();
  for (const [path, content] of files) {
    const [folder, name] = path.split(/\/([^/]*)$/);
    if (name !== "shared-params.xml") continue;
    const instance = instanceOfFolder(folder);
    try {
      instances.set(instance, readSharedParameters(content, instance, versionOf(files.get(`${path}.metadata`))));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      reasons.set(instance, error.message);
    }
  }
  if (!instances.has(own)) {
    const reason = reasons.get(own) || "there are no shared parameters";
    throw malformedConf(`There is no usable trust list of ${own}: ${reason}`);
  }
  const nextUpdate = files.get(`${instanceFolder(own)}/nextupdate-params.xml`);
  return {
    own,
    instances,
    ocspFreshness: instances.get(own).ocspFreshness,
    verifyNextUpdate: nextUpdate ? readNextUpdate(nextUpdate) : true,
  };
}

function instanceFolder(instance) {
  const name = encodeURIComponent(instance)
    .replace(/%20/g, "+")
    .replace(/[!'()~]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
  const bad = /[:;/\\%\u200b\ufeff\u0000-\u001f\u007f-\u009f]/.test(instance);
  if (!instance.trim() || bad || [".", ".."].includes(name) || instance.length > 255 || name.length > 200) {
    throw new Malformed(
      `'${instance.slice(0, 100)}' can't be the name of an instance`,
      "global_conf_part_invalid_instance_identifier",
    );
  }
  return name;
}

function instanceOfFolder(name) {
  let instance = "";
  try {
    instance = decodeURIComponent(name.replace(/\+/g, " "));
  } catch {
    instance = "";
  }
  if (instanceFolder(instance) !== name) {
    throw new Malformed(`'${name}' is no folder of an instance`, "global_conf_part_invalid_instance_identifier");
  }
  return instance;
}

function versionOf(metadata) {
  try {
    const found = JSON.parse(fromUtf8(metadata)).configurationVersion;
    return /^[0-9]{1,4}$/.test(found) ? Number(found) : 2;
  } catch {
    return 2;
  }
}

const confChildren = (element, name) => childrenNamed(element, `{}${name}`);

function confText(element, name) {
  const [found] = confChildren(element, name);
  if (!found || found.children.length) throw malformedConf(`'${element.localName}' has no '${name}'`);
  return textWithout(found);
}

function confBase64(element) {
  try {
    return fromBase64(element.textContent);
  } catch {
    throw malformedConf(`'${element.localName}' is no base64`);
  }
}

function confRoot(raw) {
  let root;
  try {
    root = parseXml(raw, MAX_LIST_BYTES, "the configuration part");
  } catch (error) {
    if (error instanceof Malformed) throw malformedConf(error.message);
    throw error;
  }
  return root;
}

function readSharedParameters(raw, instance, version) {
  const root = confRoot(raw);
  if (nameOf(root) !== `{${XROAD}}conf`) throw malformedConf("the root element is not 'conf'");
  if (version < 2 || version > 6) throw malformedConf(`version ${version} is not known`);
  checkStructure(root, CONF_SCHEMA.shared, version);
  checkMembers(root);
  const said = confText(root, "instanceIdentifier");
  if (!said.trim() || said.length > 255) throw malformedConf("'instanceIdentifier' is blank or too long");
  if (said !== instance) {
    throw malformedConf(`The SHARED-PARAMETERS of ${instance} say that they are of ${said}`);
  }
  const [settings] = confChildren(root, "globalSettings");
  if (!settings) throw malformedConf("'conf' has no 'globalSettings'");
  const freshness = confText(settings, "ocspFreshnessSeconds").trim();
  return {
    raw,
    version,
    ocspFreshness: Number(freshness),
    cas: confChildren(root, "approvedCA").map(readApprovedCa),
    tsas: confChildren(root, "approvedTSA").map((tsa) => listedCertificate(tsa)),
  };
}

// --- structure ------------------------------------------------------------------------------------

/** How texts of each type look; the types and the structures are those of the command. */
const CONF_TYPES = {
  text: () => true,
  base64: (text) => {
    fromBase64(text);
    return true;
  },
  boolean: (text) => /^[ \t\r\n]*(?:true|false|0|1)[ \t\r\n]*$/.test(text),
  "number of seconds": (text) =>
    /^[ \t\r\n]*\+?\d{1,40}[ \t\r\n]*$|^[ \t\r\n]*-0+[ \t\r\n]*$/.test(text) && Number(text) <= 2147483647,
  time: (text) =>
    /^[ \t\r\n]*\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:\.\d{1,12})?(?:Z|[+-]\d\d:\d\d)?[ \t\r\n]*$/.test(text),
  id: (text) => /^[ \t\r\n]*[\p{L}_][\p{L}\p{N}_.\-\u00b7]*[ \t\r\n]*$/u.test(text),
};

function fitsType(text, type) {
  const values = /^one of (.*)$/.exec(type);
  if (values) return values[1].split(", ").includes(text);
  try {
    return CONF_TYPES[type](text);
  } catch {
    return false;
  }
}

/** Hold an element to its structure; throws Malformed, `malformed_global_conf`. */
function checkStructure(element, structure, version) {
  const inside = element.localName;
  checkConfAttributes(element, structure.attributes);
  if (hasLooseText(element)) throw malformedConf(`text stands between the elements of '${inside}'`);
  const fields = structure.fields.filter((field) => field.since <= version);
  const mayBeAnything = (rest) =>
    structure.open !== null && version >= structure.open && !rest.some((field) => field.least);
  const counts = new Map();
  let position = 0;
  let matched = false;
  for (const child of element.children) {
    const name = child.namespaceURI ? nameOf(child) : child.localName;
    const match = fields.findIndex((field, place) => place >= position && field.name === name);
    const opened = mayBeAnything(fields.slice(position + 1));
    const repeated = matched && match === position && fields[position].most === 1;
    if (match >= 0 && !(opened && repeated)) {
      [position, matched] = [match, true];
      counts.set(name, (counts.get(name) || 0) + 1);
      checkField(child, fields[match], version);
    } else if (opened) {
      position = fields.length;
    } else {
      throw malformedConf(`'${child.localName}' does not stand in its place in '${inside}'`);
    }
  }
  for (const { name, least, most } of fields) {
    const count = counts.get(name) || 0;
    if (count < least || (most !== null && count > most)) {
      throw malformedConf(`'${inside}' has ${count} times '${name}'`);
    }
  }
}

function checkField(child, field, version) {
  if (typeof field.type !== "string") return checkStructure(child, field.type, version);
  checkConfAttributes(child, []);
  if (child.children.length) throw malformedConf(`'${child.localName}' holds elements, expected text`);
  const text = textWithout(child);
  if (!fitsType(text, field.type)) throw malformedConf(`'${child.localName}' is no ${field.type}`);
  return undefined;
}

/** The text of an element, comments and instructions left out. */
const textWithout = (element) =>
  Array.from(element.childNodes, (node) => (isMarkup(node) ? "" : node.data)).join("");

function checkConfAttributes(element, wanted) {
  const xsi = "{http://www.w3.org/2001/XMLSchema-instance}";
  const hints = [`${xsi}schemaLocation`, `${xsi}noNamespaceSchemaLocation`];
  const found = attributesOf(element);
  for (const name of found.keys()) {
    if (!hints.includes(name) && !wanted.some((one) => one.name === name)) {
      throw malformedConf(`'${element.localName}' has an unexpected attribute '${name}'`);
    }
  }
  for (const { name, type, required } of wanted) {
    const missing = !found.has(name);
    if (missing ? required : !fitsType(found.get(name), type)) {
      throw malformedConf(`'${element.localName}' has no good attribute '${name}'`);
    }
  }
}

/** Members, subsystems and servers must be nameable, and refer to one another by ids that exist. */
function checkMembers(root) {
  const ids = new Set();
  const named = (element, parts) => {
    confIdentifier(parts);
    const id = element.getAttribute("id");
    if (id === null) return;
    if (ids.has(id.trim())) throw malformedConf(`the id '${id}' is used twice`);
    ids.add(id.trim());
  };
  for (const member of confChildren(root, "member")) {
    const kind = confText(confChildren(member, "memberClass")[0], "code");
    const parts = [kind, confText(member, "memberCode")];
    named(member, parts);
    for (const subsystem of confChildren(member, "subsystem")) {
      named(subsystem, [...parts, confText(subsystem, "subsystemCode")]);
    }
  }
  for (const server of confChildren(root, "securityServer")) {
    const clients = confChildren(server, "client").map((one) => one.textContent);
    for (const id of [confText(server, "owner"), ...clients]) {
      if (!ids.has(id.trim())) throw malformedConf(`no member or subsystem has the id '${id}'`);
    }
    confIdentifier([confText(server, "serverCode")]);
  }
  for (const group of confChildren(root, "globalGroup")) confIdentifier([confText(group, "groupCode")]);
}

function confIdentifier(parts) {
  try {
    checkedParts(parts);
  } catch (error) {
    throw malformedConf(error.message);
  }
}

function listedCertificate(element) {
  const [found] = confChildren(element, "cert");
  if (!found) throw malformedConf(`'${element.localName}' has no 'cert'`);
  return certificateInConf(found);
}

function certificateInConf(element) {
  try {
    return parseCertificate(confBase64(element));
  } catch (error) {
    if (error instanceof Malformed) throw malformedConf(error.message);
    throw error;
  }
}

function readApprovedCa(element) {
  const authenticationOnly = confChildren(element, "authenticationOnly").some((one) =>
    ["true", "1"].includes(one.textContent.trim()),
  );
  const authorities = [...confChildren(element, "topCA"), ...confChildren(element, "intermediateCA")];
  if (!confChildren(element, "topCA").length) throw malformedConf("'approvedCA' has no 'topCA'");
  return {
    authenticationOnly,
    profile: confText(element, "certificateProfileInfo"),
    authorities: authorities.map((authority) => ({
      certificate: listedCertificate(authority),
      responders: confChildren(authority, "ocsp")
        .flatMap((responder) => confChildren(responder, "cert").slice(0, 1))
        .map(certificateInConf),
    })),
  };
}

function readNextUpdate(raw) {
  try {
    return ["true", "1"].includes(confText(confRoot(raw), "verifyNextUpdate").trim());
  } catch (error) {
    if (error instanceof Malformed) return true;
    throw error;
  }
}

// --- anchors and signed directories ---------------------------------------------------------------

const DIRECTORY_FAILURE = "global_conf_parsing_downloaded_conf_directory_failure";
const WRONG_HEADER = "global_conf_header_field_wrong_value";
const NO_PARAMETER = "global_conf_header_field_missing_parameter";
const NO_CERTIFICATE = "global_conf_missing_verification_cert";

/** An anchor: the instance, and the certificates that may sign for it (DER, as published). */
function parseAnchor(raw) {
  const root = confRoot(raw);
  if (nameOf(root) !== `{${XROAD}}configurationAnchor`) {
    throw new Malformed("The file is no anchor", "malformed_anchor");
  }
  checkStructure(root, CONF_SCHEMA.anchor, 2);
  const certificates = confChildren(root, "source")
    .flatMap((source) => confChildren(source, "verificationCert"))
    .map(confBase64);
  return { instance: confText(root, "instanceIdentifier"), certificates };
}

/** The raw parts between delimiter lines; the line break before one belongs to it. */
function splitParts(body, boundary) {
  const escaped = boundary.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const delimiter = new RegExp(`(?:^|(?<=\\n))--${escaped}(--)?[ \\t]*(?:\\r?\\n|$(?![^]))`, "g");
  const parts = [];
  let start = null;
  for (const match of body.matchAll(delimiter)) {
    if (start !== null) parts.push(body.slice(start, match.index).replace(/\r?\n$/, ""));
    if (match[1]) return parts;
    start = match.index + match[0].length;
  }
  if (start !== null) parts.push(body.slice(start));
  return parts;
}

/** Header lines up to the first empty line, by lower-case name; the rest is the body. */
function readEntity(part) {
  const headers = new Map();
  let last = null;
  let at = 0;
  while (at < part.length) {
    const end = part.indexOf("\n", at);
    const line = part.slice(at, end < 0 ? part.length : end).replace(/\r$/, "");
    at = end < 0 ? part.length : end + 1;
    if (!line) break;
    if (/^[ \t]/.test(line) && last) {
      headers.set(last, `${headers.get(last)} ${line.trim()}`);
      continue;
    }
    const [name, value] = line.split(/:(.*)/s);
    last = name.trim().toLowerCase();
    if (value === undefined || !last || headers.has(last) || headers.size >= 50) {
      throw new Malformed("A part's headers can't be read", DIRECTORY_FAILURE);
    }
    headers.set(last, value.trim());
  }
  return { headers, body: part.slice(at) };
}

/** `value; name=parameter; ...`, the quotes taken off. */
function readValue(text) {
  const [value, ...rest] = text.split(";");
  const parameters = new Map();
  for (const parameter of rest) {
    const match = /^\s*([A-Za-z0-9!#$&.+^_-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"']*))\s*$/.exec(parameter);
    if (!match || parameters.has(match[1].toLowerCase())) {
      throw new Malformed(`'${parameter}' is no parameter`, WRONG_HEADER);
    }
    parameters.set(match[1].toLowerCase(), match[2] ?? match[3] ?? match[4]);
  }
  return { value: value.trim(), parameters };
}

const needHeader = (entity, name) => {
  const value = entity.headers.get(name);
  if (!value) throw new Malformed(`The header ${name} is missing`, "global_conf_header_field_missing");
  return value;
};

function base64Header(text, what) {
  try {
    return fromBase64(text);
  } catch {
    throw new Malformed(`${what} is no base64`, WRONG_HEADER);
  }
}

/** Verify a signed directory with an anchor's certificates; its entries, expiry and version. */
async function readSignedDirectory(raw, certificates) {
  if (raw.length > 1024 * 1024) throw new Malformed("The directory is too large", DIRECTORY_FAILURE);
  const outer = readEntity(latin1(raw));
  const boundary = readValue(needHeader(outer, "content-type")).parameters.get("boundary") || "";
  const parts = splitParts(outer.body, boundary);
  if (parts.length !== 2) throw new Malformed(`There are ${parts.length} parts, expected 2`, DIRECTORY_FAILURE);
  const [content, signature] = parts.map(readEntity);
  const algorithm = SIGNATURE_ALGORITHMS.get(needHeader(signature, "signature-algorithm-id"));
  if (!algorithm) throw new Malformed("The signature algorithm is not accepted", WRONG_HEADER);
  const named = readValue(needHeader(signature, "verification-certificate-hash"));
  const hashUri = named.parameters.get("hash-algorithm-id") || "";
  if (!hashUri) throw new Malformed("The certificate's digest has no hash-algorithm-id", NO_PARAMETER);
  if (!DIGESTS.has(hashUri)) throw new Malformed("The digest algorithm is not accepted", WRONG_HEADER);
  const wanted = base64Header(named.value, "verification-certificate-hash");
  const value = base64Header(signature.body, "The signature");
  const signed = fromLatin1(content.body);
  let signer = null;
  for (const certificate of certificates) {
    if (same(await digest(hashUri, certificate), wanted)) signer = certificate;
  }
  if (!signer) throw new Rejected("No certificate of this source has the digest of the signer", NO_CERTIFICATE);
  if (!(await directoryHolds(signer, algorithm, value, signed))) {
    throw new Rejected(
      "The signature of the configuration directory does not hold",
      "global_conf_signature_verification_failure",
    );
  }
  return { signer, ...readDirectoryContent(content) };
}

async function directoryHolds(signer, [scheme, hashName], value, signed) {
  let key;
  try {
    ({ key } = parseCertificate(signer));
  } catch (error) {
    if (error instanceof Malformed) return false;
    throw error;
  }
  if (scheme === "ecdsa") return key.kind === EC_KEY && verifyDer(key, hashName, value, signed);
  return verifyRaw(key, scheme, hashName, value, signed);
}

function readDirectoryContent(content) {
  const boundary = readValue(needHeader(content, "content-type")).parameters.get("boundary") || "";
  const [firstLine] = content.body.replace(/^[\r\n]+/, "").split("\n", 1);
  if (firstLine.replace(/[\r \t]+$/, "") !== `--${boundary}`) {
    throw new Malformed("The signed part does not begin with its boundary", DIRECTORY_FAILURE);
  }
  const [head, ...entries] = splitParts(content.body, boundary).map(readEntity);
  const expires = new Date(needHeader(head, "expire-date"));
  const version = head.headers.get("version") || "2";
  if (Number.isNaN(expires.getTime()) || !/^[2-6]$/.test(version)) {
    throw new Malformed("The directory has no expiry date or version", WRONG_HEADER);
  }
  const found = new Map();
  for (const entity of entries) {
    const { value, parameters } = readValue(needHeader(entity, "content-identifier"));
    const uri = needHeader(entity, "hash-algorithm-id");
    if (!DIGESTS.has(uri)) throw new Malformed("The digest algorithm is not accepted", WRONG_HEADER);
    const instance = fromUtf8(fromLatin1(parameters.get("instance") || ""));
    if (!instance.trim()) throw new Malformed("The header content-identifier has no instance", NO_PARAMETER);
    const name = `${value} ${instance}`;
    if (found.has(name)) throw new Malformed("The directory names a part twice", DIRECTORY_FAILURE);
    found.set(name, { uri, digest: base64Header(entity.body, "the digest of a part") });
  }
  return { expires, version: Number(version), entries: found };
}

/** What the trust list of a receipt rests upon: on anchors, or on whoever gave the receipt. */
async function checkTrustList(conf, needed, signed, anchors) {
  if (!anchors.length) {
    return [noted("trust_list",
      "It came in the receipt and is only as good as who gave it; an anchor of the instance, given" +
      " beside it, ties it to the instance's operator")];
  }
  const checks = [];
  const proven = new Set();
  for (const anchor of anchors) {
    const raw = signed.get(`${instanceFolder(anchor.instance)}/directory`);
    if (!raw) continue;
    const { check, instances } = await checkDirectory(conf, raw, anchor);
    checks.push(check);
    for (const name of instances) proven.add(name);
  }
  for (const name of needed) {
    if (!proven.has(name) && conf.instances.has(name)) {
      checks.push(undecided("trust_list", NO_CERTIFICATE,
        `Nothing in the receipt ties the trust list of ${name} to an anchor that was given`));
    }
  }
  return checks;
}

async function checkDirectory(conf, raw, anchor) {
  let directory;
  try {
    directory = await readSignedDirectory(raw, anchor.certificates);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { check: failed("trust_list", error.code, `${anchor.instance}: ${error.message}`), instances: [] };
  }
  const instances = [];
  for (const [name, instance] of conf.instances) {
    const entry = directory.entries.get(`SHARED-PARAMETERS ${name}`);
    const fits = entry && same(await digest(entry.uri, instance.raw), entry.digest);
    if (fits && directory.version === instance.version) instances.push(name);
  }
  if (!instances.includes(anchor.instance)) {
    const text = `The trust list of ${anchor.instance} is not the one that its operator signed`;
    const code = "global_conf_part_downloaded_file_integrity_failure";
    return { check: failed("trust_list", code, text), instances: [] };
  }
  const text = `${instances.sort().join(", ")}: signed by a key of the anchor (SHA-256 of its certificate` +
    ` ${hex(await sha256(directory.signer))}), to be believed until ${timeText(directory.expires)}`;
  return { check: passed("trust_list", text), instances };
}
