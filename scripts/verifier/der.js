// ASN.1 as it stands in certificates, OCSP responses and time-stamps: DER, with indefinite lengths
// where time-stamping services leave them.

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const GENERALIZED_TIME = 0x18;
const MAX_ASN1_DEPTH = 32;

/** The bytes are no element of the expected kind. */
class NotAsn1 extends Error {}

/** One tag, length and value; `raw` is the whole of it. */
class Asn1Element {
  constructor(tag, raw, content) {
    this.tag = tag;
    this.raw = raw;
    this.content = content;
  }

  children(atLeast = 0, atMost = Infinity) {
    if (!(this.tag & 0x20)) throw new NotAsn1(`an element of tag ${this.tag} has no parts`);
    const found = [];
    for (let at = 0; at < this.content.length; ) {
      const [element, next] = readElement(this.content, at, MAX_ASN1_DEPTH);
      found.push(element);
      at = next;
    }
    if (found.length < atLeast || found.length > atMost) {
      throw new NotAsn1(`${found.length} parts where others were expected`);
    }
    return found;
  }

  need(tag) {
    if (this.tag !== tag) throw new NotAsn1(`tag ${this.tag} where ${tag} was expected`);
    return this;
  }

  sequence(atLeast = 0, atMost = Infinity) {
    return this.need(SEQUENCE).children(atLeast, atMost);
  }
}

function readElement(data, at, depth) {
  if (!depth) throw new NotAsn1("elements are nested too deep");
  if (at + 2 > data.length) throw new NotAsn1("an element is cut off");
  const tag = data[at];
  if ((tag & 0x1f) === 0x1f || tag === 0) throw new NotAsn1(`tag ${tag} is not used here`);
  const first = data[at + 1];
  if (first === 0x80) return readIndefinite(data, at, depth);
  let start = at + 2;
  let length = first;
  if (first > 0x80) {
    start += first & 0x7f;
    length = 0;
    if (first > 0x84 || start > data.length) throw new NotAsn1("a length is too long");
    for (const byte of data.subarray(at + 2, start)) length = length * 256 + byte;
    if (data[at + 2] === 0 || length < 0x80) {
      throw new NotAsn1("a length is not in its shortest form");
    }
  }
  const end = start + length;
  if (end > data.length) throw new NotAsn1("an element is cut off");
  return [new Asn1Element(tag, data.subarray(at, end), data.subarray(start, end)), end];
}

function readIndefinite(data, at, depth) {
  if (!(data[at] & 0x20)) throw new NotAsn1("an indefinite length on an element without parts");
  let inside = at + 2;
  while (data[inside] !== 0 || data[inside + 1] !== 0) {
    [, inside] = readElement(data, inside, depth - 1);
  }
  return [
    new Asn1Element(data[at], data.subarray(at, inside + 2), data.subarray(at + 2, inside)),
    inside + 2,
  ];
}

/** Bytes that are exactly one element of the given tag. */
function parseElement(data, tag) {
  const [element, end] = readElement(data, 0, MAX_ASN1_DEPTH);
  if (end !== data.length) throw new NotAsn1("bytes follow the element");
  return element.need(tag);
}

/** An integer of any size, as BigInt. */
function parseInteger(element) {
  const { content } = element.need(INTEGER);
  const long = content.length > 1;
  if (!content.length || (long && content[0] === 0 && content[1] < 0x80)
      || (long && content[0] === 0xff && content[1] >= 0x80)) {
    throw new NotAsn1("an integer is not in its shortest form");
  }
  const value = BigInt(`0x${hex(content)}`);
  return content[0] & 0x80 ? value - (1n << BigInt(8 * content.length)) : value;
}

function parseOid(element) {
  const { content } = element.need(OBJECT_IDENTIFIER);
  if (!content.length || content.at(-1) & 0x80 || content.length > 64) {
    throw new NotAsn1("an object identifier is cut off or too long");
  }
  const arcs = [];
  let value = 0n;
  for (const octet of content) {
    if (octet === 0x80 && value === 0n) {
      throw new NotAsn1("an object identifier is not in its shortest form");
    }
    value = (value << 7n) | BigInt(octet & 0x7f);
    if (!(octet & 0x80)) {
      arcs.push(value);
      value = 0n;
    }
  }
  const first = arcs[0] < 80n ? arcs[0] / 40n : 2n;
  return [first, arcs[0] - 40n * first, ...arcs.slice(1)].join(".");
}

function parseOctets(element) {
  if (element.tag === OCTET_STRING) return element.content;
  element.need(OCTET_STRING | 0x20);
  return concat(...element.children().map((piece) => piece.need(OCTET_STRING).content));
}

function parseBits(element) {
  const { content } = element.need(BIT_STRING);
  if (!content.length || content[0] !== 0) throw new NotAsn1("a bit string that is no whole bytes");
  return content.subarray(1);
}

/** UTCTime or GeneralizedTime without fraction, as X.509 and OCSP have it. */
function parseTime(element) {
  const text = latin1(element.content);
  const short = element.tag === 0x17;
  if (!short) element.need(GENERALIZED_TIME);
  const match = (short ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
                       : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(text);
  if (!match) throw new NotAsn1("a time is not in UTC as DER writes it");
  const [year, month, ...rest] = match.slice(1).map(Number);
  const full = short ? (year < 50 ? 2000 : 1900) + year : year;
  return momentOf([full, month, ...rest]);
}

function momentOf([year, month, day, hour, minute, second]) {
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  at.setUTCFullYear(year);
  const fits = at.getUTCMonth() === month - 1 && at.getUTCDate() === day
    && hour < 24 && minute < 60 && second < 60;
  if (!fits) throw new NotAsn1("a time does not exist");
  return at;
}

function der(tag, ...contents) {
  const content = concat(...contents);
  if (content.length < 0x80) return concat(Uint8Array.of(tag, content.length), content);
  const length = [];
  for (let left = content.length; left; left = Math.floor(left / 256)) length.unshift(left % 256);
  return concat(Uint8Array.of(tag, 0x80 | length.length, ...length), content);
}
