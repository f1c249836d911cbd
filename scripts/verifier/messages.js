// What messages say: who must have signed them, who asks whom for what, and which request is
// answered. Both forms: SOAP, and the text form of REST.

const SOAP = "http://schemas.xmlsoap.org/soap/envelope/";
const XROAD = "http://x-road.eu/xsd/xroad.xsd";
const IDENTIFIERS = "http://x-road.eu/xsd/identifiers";
const REPRESENTATION = "http://x-road.eu/xsd/representation.xsd";
const SOAP_START = /^(?:\xef\xbb\xbf)?[ \t\r\n]*</;
const CLIENT_PARTS = ["xRoadInstance", "memberClass", "memberCode", "subsystemCode"];
const SERVICE_PARTS = [...CLIENT_PARTS, "serviceCode", "serviceVersion"];
const MAX_FIELD = 1024;

const isSoap = (message) => SOAP_START.test(latin1(message.subarray(0, 1024 * 1024)));

function decodeSegment(segment) {
  if (!/^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*$/.test(segment)) {
    throw new Malformed("Invalid character in path segment", "internal_error");
  }
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Malformed("Invalid percent encoding", "internal_error");
  }
}

/** The parts of an identifier, each checked as identifiers are. */
function checkedParts(parts) {
  for (const part of parts) {
    if (!part.trim()) throw new Malformed("a part of an identifier must not be blank", "internal_error");
    if (part.length > 255 || part.includes("\0")) {
      throw new Malformed("a part of an identifier is too long", "internal_error");
    }
  }
  return parts;
}

// --- who must have signed -------------------------------------------------------------------------

function findSender(message) {
  try {
    const sender = isSoap(message) ? soapSender(message) : restSender(message);
    return { sender, check: passed("message", `must be signed by ${sender.slice(0, 3).join("/")}`) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { sender: null, check: failed("message", error.code, error.message) };
  }
}

function restSender(message) {
  const text = latin1(message);
  const start = /^(?:[A-Z]+|[1-9][0-9]{2})\r\n[^\r\n]*\r\n/.exec(text);
  if (!start || !text.endsWith("\r\n") || /[^\r]\n|\r[^\n]|^\n/.test(text)) {
    throw new Malformed("The message is neither SOAP nor the text form of a REST message");
  }
  const response = /^[0-9]/.test(text);
  const name = response ? "x-road-service" : "x-road-client";
  const found = [...text.slice(start[0].length).matchAll(new RegExp(`(?:^|\\n)${name}:([^\\r\\n]*)(?=\\r\\n)`, "gi"))];
  if (!found.length) throw new Malformed(`The message has no ${name}`, "missing_header_field");
  const value = found.at(-1)[1];
  if (/[^\0-\x7f]/.test(value)) throw new Malformed(`${name} is not plain text`);
  const segments = value.split("/");
  const [least, most] = response ? [4, 5] : [3, 4];
  if (segments.length < least || segments.length > most) {
    throw new Malformed(response ? "Invalid Service Id" : "Invalid Client Id", "internal_error");
  }
  const parts = checkedParts(segments.map(decodeSegment));
  return response ? parts.slice(0, -1) : parts;
}

function soapSender(message) {
  const envelope = parseXml(message, MAX_MESSAGE_BYTES, "The SOAP message");
  if (nameOf(envelope) !== `{${SOAP}}Envelope`) {
    throw new Malformed("The message is XML and no SOAP envelope", "invalid_soap");
  }
  const header = onlyChild(envelope, `{${SOAP}}Header`, "missing_header");
  const body = onlyChild(envelope, `{${SOAP}}Body`, "missing_body");
  const [content, ...more] = body.children;
  if (!content || more.length) {
    throw new Malformed("The SOAP body does not hold exactly one element", "invalid_body");
  }
  if (nameOf(content) === `{${SOAP}}Fault`) {
    throw new Malformed("The message is a SOAP fault, which nobody signs");
  }
  if (content.localName.endsWith("Response")) {
    const service = soapIdentifier(onlyChild(header, `{${XROAD}}service`), SERVICE_PARTS);
    return checkedParts(CLIENT_PARTS.filter((name) => service.has(name)).map((name) => service.get(name)));
  }
  return checkedParts([...soapIdentifier(onlyChild(header, `{${XROAD}}client`), CLIENT_PARTS).values()]);
}

function onlyChild(parent, name, missing = "missing_header_field") {
  const found = childrenNamed(parent, name);
  const short = name.replace(/^\{.*\}/, "");
  if (!found.length) throw new Malformed(`The SOAP message has no ${short}`, missing);
  if (found.length > 1) {
    throw new Malformed(`The SOAP message has more than one ${short}`, "duplicate_header_field");
  }
  return found[0];
}

function soapIdentifier(element, names) {
  const parts = new Map();
  for (const node of element.childNodes) {
    if (isMarkup(node)) throw new Malformed("The SOAP header has a malformed identifier");
  }
  for (const child of element.children) {
    const name = child.localName;
    const plain = Array.from(child.childNodes).every(
      (node) => node.nodeType === Node.TEXT_NODE || node.nodeType === Node.CDATA_SECTION_NODE,
    );
    if (child.namespaceURI !== IDENTIFIERS || !names.includes(name) || parts.has(name) || !plain) {
      throw new Malformed(`The SOAP header has a malformed identifier at ${name}`);
    }
    parts.set(name, child.textContent);
  }
  const optional = ["subsystemCode", "serviceVersion"];
  const inOrder = names.filter((name) => parts.has(name)).join() === [...parts.keys()].join();
  if (!inOrder || names.some((name) => !optional.includes(name) && !parts.has(name))) {
    throw new Malformed("The SOAP header has an identifier without its parts in order");
  }
  return parts;
}

// --- the exchange ---------------------------------------------------------------------------------

/** One message's own words: ids, client, service, official, case, and the hash it answers. */
function readFacts(message) {
  const facts = isSoap(message) ? soapFacts(message) : restFacts(message);
  if ([facts.messageId, facts.user, facts.issue].some((text) => text && Array.from(text).length > MAX_FIELD)) {
    throw new Malformed(`A field is longer than ${MAX_FIELD} characters`);
  }
  return facts;
}

function restFacts(message) {
  let text;
  try {
    text = fromUtf8(message);
  } catch {
    throw new Malformed("The message is no REST message");
  }
  const [first, target, ...lines] = text.split("\r\n");
  if (target === undefined) throw new Malformed("The message is no REST message");
  const headers = new Map();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
    headers.set(name.toLowerCase(), value);
  }
  const response = /^\p{Nd}/u.test(first);
  const identifier = (name) => {
    const segments = (headers.get(name) || "").split("/");
    if (segments.length < 3 || segments.length > 5) {
      throw new Malformed(`The message has no ${name}`, "missing_header_field");
    }
    return segments.map(decodeSegment);
  };
  const service = response ? identifier("x-road-service") : serviceOf(target);
  const hashed = headers.get("x-road-request-hash");
  return {
    response,
    rest: true,
    messageId: headers.get("x-road-id") || "",
    client: identifier("x-road-client"),
    service,
    user: headers.get("x-road-userid") ?? null,
    issue: headers.get("x-road-issue") ?? null,
    party: restParty(headers.get("x-road-represented-party")),
    requestHash: hashed === undefined ? null : { algorithm: SHA512_URI, digest: hashValue(hashed) },
  };
}

function serviceOf(target) {
  const segments = target.split("?")[0].split("/");
  if (segments.length < 7 || segments[0] || segments[1] !== "r1") {
    throw new Malformed("The request names no service");
  }
  return segments.slice(2, 7).map(decodeSegment);
}

function restParty(value) {
  if (value === undefined) return null;
  const segments = value.split("/");
  if (segments.length > 2) throw new Malformed("The represented party has more than two parts");
  return segments.map(decodeSegment);
}

function hashValue(text) {
  try {
    return fromBase64(text);
  } catch {
    throw new Malformed("The hash of the request is no base64");
  }
}

function soapFacts(message) {
  const envelope = parseXml(message, MAX_MESSAGE_BYTES, "The SOAP message");
  const [header] = childrenNamed(envelope, `{${SOAP}}Header`);
  const [body] = childrenNamed(envelope, `{${SOAP}}Body`);
  if (!header || !body || nameOf(envelope) !== `{${SOAP}}Envelope`) {
    throw new Malformed("The message has no SOAP header or no body", "invalid_soap");
  }
  const content = body.firstElementChild;
  return {
    response: Boolean(content) && content.localName.endsWith("Response"),
    rest: false,
    messageId: fieldText(header, `{${XROAD}}id`) || "",
    client: factsIdentifier(header, "client"),
    service: factsIdentifier(header, "service"),
    user: fieldText(header, `{${XROAD}}userId`),
    issue: fieldText(header, `{${XROAD}}issue`),
    party: soapParty(header),
    requestHash: soapHash(header),
  };
}

function headerField(parent, name) {
  const found = childrenNamed(parent, name);
  if (found.length > 1) {
    throw new Malformed(`The message has more than one ${name.replace(/^\{.*\}/, "")}`, "duplicate_header_field");
  }
  return found[0] || null;
}

function fieldText(parent, name) {
  const element = headerField(parent, name);
  if (!element) return null;
  if (element.children.length || Array.from(element.childNodes).some(isMarkup)) {
    throw new Malformed("A field of the SOAP header holds more than text");
  }
  return element.textContent;
}

function factsIdentifier(header, name) {
  const element = headerField(header, `{${XROAD}}${name}`);
  if (!element) throw new Malformed(`The message has no ${name}`, "missing_header_field");
  return SERVICE_PARTS.map((part) => fieldText(element, `{${IDENTIFIERS}}${part}`)).filter(
    (text) => text !== null,
  );
}

function soapParty(header) {
  const element = headerField(header, `{${REPRESENTATION}}representedParty`);
  if (!element) return null;
  const kind = fieldText(element, `{${REPRESENTATION}}partyClass`);
  const code = fieldText(element, `{${REPRESENTATION}}partyCode`) || "";
  return kind === null ? [code] : [kind, code];
}

function soapHash(header) {
  const text = fieldText(header, `{${XROAD}}requestHash`);
  if (text === null) return null;
  const algorithm = headerField(header, `{${XROAD}}requestHash`).getAttribute("algorithmId") || "";
  return { algorithm, digest: hashValue(text) };
}

/** Check that the response answers this very request. */
async function checkPair(request, response) {
  const other = (text) => failed("pairing", "inconsistent_response", text);
  try {
    const asked = readFacts(request.message);
    const answered = readFacts(response.message);
    const hashed = answered.requestHash && (await requestHash(request, asked, answered));
    if (asked.response || !answered.response || asked.rest !== answered.rest) {
      return other("They are not a request and a response of one protocol");
    }
    if (asked.messageId !== answered.messageId) return other("They differ in the message id");
    for (const what of ["client", "service"]) {
      if (asked[what].join("\0") !== answered[what].join("\0")) return other(`They differ in the ${what}`);
    }
    if (!hashed) return other("The response does not say which request it answers");
    if (!same(hashed, answered.requestHash.digest)) return other("The response answers another request");
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return other(error.message);
  }
  return passed("pairing", "the response states the hash of this request");
}

async function requestHash(request, asked, answered) {
  const { algorithm } = answered.requestHash;
  if (!DIGESTS.has(algorithm) || (asked.rest && algorithm !== SHA512_URI)) {
    throw new Malformed(`The hash algorithm '${algorithm}' is not accepted`);
  }
  if (!asked.rest) return digest(algorithm, request.message);
  const head = await sha512(request.message);
  const bodies = await attachmentDigests(request);
  return bodies.length ? sha512(concat(head, bodies[0])) : head;
}

/** SHA-512 of every attachment in order, of absent ones as the hash chain has it. */
async function attachmentDigests(container) {
  const found = new Map();
  for (const { name, data } of container.attachments) found.set(name, await sha512(data));
  if (container.chain) {
    for (const step of parseChain(container.chain).values()) {
      for (const entry of step) {
        const name = entry.uri.replace(/^\//, "");
        if (entry.kind === "DataRef" && entry.algorithm === SHA512_URI && !found.has(name)) {
          found.set(name, entry.digest);
        }
      }
    }
  }
  const digests = [];
  for (let name = "attachment1"; found.has(name); name = `attachment${digests.length + 1}`) {
    digests.push(found.get(name));
    found.delete(name);
  }
  if ([...found.keys()].some((name) => name.startsWith("attachment"))) {
    throw new Rejected("The attachments are not numbered from 1 on", "invalid_reference");
  }
  return digests;
}
