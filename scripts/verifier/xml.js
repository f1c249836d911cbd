// XML that an adversary may have written: no document type, bounded, and the two canonical forms
// that signatures of X-Road use.

const MAX_TAGS = 500000;
const MAX_EQUALS = 1000000;
const MAX_DEPTH = 255;
const XMLNS = "http://www.w3.org/2000/xmlns/";
const INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#";
const DECLARED =
  /^(?:\xef\xbb\xbf)?<\?xml\s[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']/;
const ENCODINGS = /^(?:utf-?(?:8|16)|(?:us-)?ascii|iso-8859-\d{1,2}|windows-125\d)$/i;
const PROLOG = /^\ufeff?(?:\s+|<\?[^]*?\?>|<!--[^]*?-->)*/;

/** The root element, or Malformed. */
function parseXml(raw, maxBytes, what) {
  const invalid = (text) => new Malformed(`${what} ${text}`, "invalid_xml");
  if (raw.length > maxBytes) throw invalid(`is larger than ${maxBytes} bytes`);
  let tags = 0;
  let equals = 0;
  for (let at = 0; at < raw.length; at++) {
    if (raw[at] === 0x3c) tags += 1;
    else if (raw[at] === 0x3d) equals += 1;
  }
  if (tags > MAX_TAGS || equals > MAX_EQUALS) throw invalid("holds too much markup");
  const text = xmlText(raw, invalid);
  const prolog = PROLOG.exec(text)[0].length;
  if (text.startsWith("<!DOCTYPE", prolog)) throw invalid("has a document type declaration");
  checkTokens(text, invalid);
  const parsed = new DOMParser().parseFromString(text.replace(/^\ufeff/, ""), "application/xml");
  const root = parsed.documentElement;
  if (!root || isParserError(root)) throw invalid("is not well-formed");
  if (parsed.doctype) throw invalid("has a document type declaration");
  checkDepth(root, invalid);
  return root;
}

const XML_NAME = "[\\p{L}_:][\\p{L}\\p{N}\\p{M}_:.\\u00b7-]*";
const XML_REFERENCE = "&(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);";
const XML_VALUE = ['"', "'"]
  .map((quote) => `${quote}[^${quote}<&]*(?:${XML_REFERENCE}[^${quote}<&]*)*${quote}`)
  .join("|");
const XML_TAG = new RegExp(
  `<(?:/${XML_NAME}\\s*|${XML_NAME}(?:\\s+${XML_NAME}\\s*=\\s*(?:${XML_VALUE}))*\\s*/?)>`, "uy",
);
const XML_INSTRUCTION = new RegExp(`<\\?${XML_NAME}(?:\\s|\\?>)`, "uy");
const XML_REFERENCES = new RegExp(`&(?!${XML_REFERENCE.slice(1)})`, "u");
const XML_FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/u;
const XMLNS_VALUE = /\sxmlns(?::[^\s=]+)?\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const XML_URI = /^(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*$/;

/** Refuse what is not well-formed: browsers let some of it pass. Nesting is left to the parser. */
function checkTokens(text, invalid) {
  if (XML_FORBIDDEN.test(text)) throw invalid("holds characters that XML does not have");
  let at = text.startsWith("\ufeff") ? 1 : 0;
  while (at < text.length) {
    const end = endOfToken(text, at);
    if (end < 0) throw invalid(`is not well-formed at character ${at + 1}`);
    if (/^<[^!?/]/.test(text.slice(at, at + 2))) {
      for (const [, double, single] of text.slice(at, end).matchAll(XMLNS_VALUE)) {
        const uri = withoutReferences(double ?? single);
        if (!XML_URI.test(uri)) throw invalid(`is not well-formed: '${uri}' is not a valid URI`);
      }
    }
    at = end;
  }
}

function withoutReferences(text) {
  const named = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
  return text.replace(/&(#x?)?(\w+);/g, (_, number, name) => {
    if (!number) return named[name];
    const code = parseInt(name, number === "#x" ? 16 : 10);
    return code <= 0x10ffff ? String.fromCodePoint(code) : "\0";
  });
}

/** Where the token that begins here ends; -1 when it is none. */
function endOfToken(text, at) {
  const behind = (mark, from) => {
    const found = text.indexOf(mark, from);
    return found < 0 ? -1 : found + mark.length;
  };
  if (text.startsWith("<!--", at)) {
    const end = behind("--", at + 4);
    return text[end] === ">" ? end + 1 : -1;
  }
  if (text.startsWith("<![CDATA[", at)) return behind("]]>", at + 9);
  if (text.startsWith("<?", at)) {
    XML_INSTRUCTION.lastIndex = at;
    return XML_INSTRUCTION.test(text) ? behind("?>", at + 2) : -1;
  }
  if (text[at] === "<") {
    XML_TAG.lastIndex = at;
    return XML_TAG.test(text) ? XML_TAG.lastIndex : -1;
  }
  const next = text.indexOf("<", at);
  const end = next < 0 ? text.length : next;
  const content = text.slice(at, end);
  return content.includes("]]>") || XML_REFERENCES.test(content) ? -1 : end;
}

function xmlText(raw, invalid) {
  const start = latin1(raw.subarray(0, 300));
  const declared = DECLARED.exec(start);
  if (start.startsWith("\x4c\x6f\xa7\x94") || (declared && !ENCODINGS.test(declared[1]))) {
    throw invalid("is in an encoding that is not accepted");
  }
  let encoding = declared ? declared[1].toLowerCase() : "utf-8";
  if (start.startsWith("\xef\xbb\xbf")) encoding = "utf-8";
  else if (/^(?:\xff\xfe|<\x00)/.test(start)) encoding = "utf-16le";
  else if (/^(?:\xfe\xff|\x00<)/.test(start)) encoding = "utf-16be";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(raw);
  } catch {
    throw invalid("is not in its encoding");
  }
}

function isParserError(root) {
  if (root.localName === "parsererror") return true;
  const html = "http://www.w3.org/1999/xhtml";
  return root.getElementsByTagNameNS(html, "parsererror").length > 0;
}

function checkDepth(root, invalid) {
  let level = [root];
  for (let depth = 1; level.length; depth++) {
    if (depth > MAX_DEPTH) throw invalid("is nested too deep");
    level = level.flatMap((element) => Array.from(element.children));
  }
}

/** Whether comments or processing instructions stand beside the root; the declaration does not. */
function standsAlone(root) {
  return root.ownerDocument.childNodes.length === 1;
}

const nameOf = (element) => `{${element.namespaceURI || ""}}${element.localName}`;

/** Attributes without namespace declarations, by `{uri}local` or the plain name. */
function attributesOf(element) {
  const found = new Map();
  for (const { namespaceURI, localName, value } of element.attributes) {
    if (namespaceURI !== XMLNS) found.set(namespaceURI ? `{${namespaceURI}}${localName}` : localName, value);
  }
  return found;
}

/** The text that stands directly in an element before its first child: what `.text` is to lxml. */
function ownText(element) {
  let text = "";
  for (const node of element.childNodes) {
    if (node.nodeType !== Node.TEXT_NODE && node.nodeType !== Node.CDATA_SECTION_NODE) break;
    text += node.data;
  }
  return text;
}

const isMarkup = (node) =>
  node.nodeType === Node.COMMENT_NODE || node.nodeType === Node.PROCESSING_INSTRUCTION_NODE;

/** Whether text that is more than white space stands between the children. */
function hasLooseText(element, { inFront = true } = {}) {
  let inside = inFront;
  for (const node of element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE || node.nodeType === Node.CDATA_SECTION_NODE) {
      if (inside && node.data.trim()) return true;
    } else {
      inside = true;
    }
  }
  return false;
}

const childrenNamed = (element, name) =>
  Array.from(element.children).filter((child) => nameOf(child) === name);

// --- canonical form -------------------------------------------------------------------------------

/** The canonical bytes of an element inside its document, without comments. */
function canonical(element, method) {
  if (method !== INCLUSIVE && method !== EXCLUSIVE) {
    throw malformedSignature(`Canonicalisation '${method}' is not accepted`);
  }
  const pieces = [];
  writeCanonical(element, namespacesAbove(element), new Map([["", ""]]), method, true, pieces);
  return utf8(pieces.join(""));
}

function namespacesAbove(element) {
  const chain = [];
  for (let at = element.parentElement; at; at = at.parentElement) chain.unshift(at);
  return chain.reduce(withDeclared, new Map([["", ""]]));
}

function withDeclared(inherited, element) {
  const scope = new Map(inherited);
  for (const attribute of element.attributes) {
    if (attribute.namespaceURI !== XMLNS) continue;
    const prefix = attribute.localName === "xmlns" && !attribute.prefix ? "" : attribute.localName;
    if (prefix === "xml") continue;
    if (attribute.value && !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(attribute.value)) {
      throw malformedSignature("The signature can't be canonicalised: a relative namespace name");
    }
    scope.set(prefix, attribute.value);
  }
  return scope;
}

const byCodePoint = (one, other) => {
  const [first, second] = [Array.from(one), Array.from(other)];
  for (let at = 0; at < Math.min(first.length, second.length); at++) {
    const difference = first[at].codePointAt(0) - second[at].codePointAt(0);
    if (difference) return difference;
  }
  return first.length - second.length;
};

function writeCanonical(element, above, rendered, method, apex, pieces) {
  const scope = withDeclared(above, element);
  const plain = Array.from(element.attributes).filter((one) => one.namespaceURI !== XMLNS);
  const shownHere = new Map(rendered);
  const wanted =
    method === INCLUSIVE
      ? [...scope.keys()]
      : [...new Set([element.prefix || "", ...plain.map((one) => one.prefix || "").filter(Boolean)])];
  const declarations = [];
  for (const prefix of wanted.sort(byCodePoint)) {
    if (prefix === "xml") continue;
    const uri = scope.get(prefix) || "";
    if ((rendered.get(prefix) ?? null) === uri) continue;
    shownHere.set(prefix, uri);
    declarations.push(` xmlns${prefix ? `:${prefix}` : ""}="${escapeAttribute(uri)}"`);
  }
  const attributes = plain
    .sort(
      (one, other) =>
        byCodePoint(one.namespaceURI || "", other.namespaceURI || "") ||
        byCodePoint(one.localName, other.localName),
    )
    .map((one) => ` ${one.name}="${escapeAttribute(one.value)}"`);
  pieces.push(`<${element.tagName}`, ...declarations, ...attributes, ">");
  for (const node of element.childNodes) {
    if (node.nodeType === Node.ELEMENT_NODE) {
      writeCanonical(node, scope, shownHere, method, false, pieces);
    } else if (node.nodeType === Node.TEXT_NODE || node.nodeType === Node.CDATA_SECTION_NODE) {
      pieces.push(escapeText(node.data));
    } else if (node.nodeType === Node.PROCESSING_INSTRUCTION_NODE) {
      pieces.push(`<?${node.target}${node.data ? ` ${node.data}` : ""}?>`);
    }
  }
  pieces.push(`</${element.tagName}>`);
}

const escapeText = (text) =>
  text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/\r/g, "&#xD;");

const escapeAttribute = (text) =>
  text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/"/g, "&quot;")
    .replace(/\t/g, "&#x9;")
    .replace(/\n/g, "&#xA;")
    .replace(/\r/g, "&#xD;");
