// ZIP files, read so strictly that every byte counts: names and sizes must agree in both places
// where they stand, entries must fill the file, and fields that no checksum covers must be as the
// known writers leave them. Only the packed form itself is not compared, as browsers can't pack in
// the same way; the content is covered by checksum and digest.

const INVALID_CONTAINER = "asic_invalid_container";
const MAX_FILE_BYTES = 256 * 1024 * 1024; // of a file that is dropped here
const MAX_UNPACKED_BYTES = 512 * 1024 * 1024;
const MAX_DIRECTORY_BYTES = 1024 * 1024;
const MAX_ENTRIES = 1024;
const CONTAINER_COMMENT = "mimetype=application/vnd.etsi.asic-e+zip";
const ENTRY_NAME = /^(?:(?!\.\.?(?:\/|$))[A-Za-z0-9._%+*-]+(?:\/(?!$)|\/?$))+$/;

const broken = (text) => new Malformed(text, INVALID_CONTAINER);

/** One entry after the other, as directory and local headers agree on them. */
function readEntries(data, maxEntries = MAX_ENTRIES) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = readEnd(data, view, maxEntries);
  const entries = [];
  let at = end.start;
  let expected = 0;
  let headers = 0;
  while (at < end.start + end.size) {
    const central = readCentral(data, view, at, end.start + end.size);
    at = central.next;
    headers += 1;
    if (headers > end.count) break;
    const entry = readLocal(data, view, central, expected, end.start);
    expected = entry.end;
    entries.push(entry);
  }
  if (headers !== end.count) throw broken("The ZIP file's directory and its end do not agree");
  if (expected !== end.start) throw broken("The ZIP file has bytes that belong to no entry");
  checkEntries(entries);
  return entries;
}

function readEnd(data, view, maxEntries) {
  for (const comment of ["", CONTAINER_COMMENT]) {
    const at = data.length - 22 - comment.length;
    if (at < 0 || view.getUint32(at, true) !== 0x06054b50) continue;
    if (latin1(data.subarray(at + 22)) !== comment) continue;
    if (view.getUint16(at + 20, true) !== comment.length) continue;
    const here = view.getUint16(at + 8, true);
    const count = view.getUint16(at + 10, true);
    const size = view.getUint32(at + 12, true);
    const start = view.getUint32(at + 16, true);
    if (view.getUint32(at + 4, true) !== 0 || here !== count || start + size !== at) {
      throw broken("The ZIP file's end does not fit the file");
    }
    if (!count || count > maxEntries || size > MAX_DIRECTORY_BYTES) {
      throw broken(`The ZIP file has no entries, or more than ${maxEntries}`);
    }
    return { start, size, count };
  }
  const beginsAsZip = data.length >= 4 && view.getUint32(0, true) === 0x04034b50;
  const tail = latin1(data.subarray(Math.max(0, data.length - 0x10000)));
  if (!beginsAsZip && !tail.includes("PK\x05\x06")) {
    throw new Malformed("The file is no ZIP file", "asic_mime_type_not_found");
  }
  throw broken("The ZIP file is cut off, or has a comment or bytes behind its end");
}

function readCentral(data, view, at, limit) {
  if (at + 46 > limit) throw broken("The ZIP file's directory is cut off");
  const nameSize = view.getUint16(at + 28, true);
  const extraSize = view.getUint16(at + 30, true);
  const commented = view.getUint16(at + 32, true) || view.getUint16(at + 34, true);
  if (view.getUint32(at, true) !== 0x02014b50 || commented) {
    throw broken("The ZIP file's directory is malformed");
  }
  const next = at + 46 + nameSize + extraSize;
  if (next > limit) throw broken("The ZIP file's directory is cut off");
  const name = latin1(data.subarray(at + 46, at + 46 + nameSize));
  if (!ENTRY_NAME.test(name) || name.length > 255) {
    throw broken("The ZIP file has an entry whose name is not plain");
  }
  return {
    name,
    next,
    madeBy: view.getUint16(at + 4, true),
    needed: view.getUint16(at + 6, true),
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    time: view.getUint32(at + 12, true),
    crc: view.getUint32(at + 16, true),
    packedSize: view.getUint32(at + 20, true),
    size: view.getUint32(at + 24, true),
    internal: view.getUint16(at + 36, true),
    external: view.getUint32(at + 38, true),
    header: view.getUint32(at + 42, true),
    extra: data.subarray(at + 46 + nameSize, next),
  };
}

/** Read the local header, which must begin where the entry before it ends, and compare. */
function readLocal(data, view, entry, expected, limit) {
  const { name, header } = entry;
  if (header !== expected) throw broken("The ZIP file's entries do not follow one another");
  if (header + 30 > data.length) throw broken("The ZIP file is cut off");
  const described = Boolean(entry.flags & 0x0008);
  const sums = described ? [0, 0, 0] : [entry.crc, entry.packedSize, entry.size];
  const agrees =
    view.getUint32(header, true) === 0x04034b50 &&
    view.getUint16(header + 4, true) === entry.needed &&
    view.getUint16(header + 6, true) === entry.flags &&
    view.getUint16(header + 8, true) === entry.method &&
    view.getUint32(header + 10, true) === entry.time &&
    sums.every((sum, place) => view.getUint32(header + 14 + 4 * place, true) === sum);
  if (!agrees) throw broken(`${name} is described in two ways`);
  const nameSize = view.getUint16(header + 26, true);
  const start = header + 30 + nameSize + view.getUint16(header + 28, true);
  if (start > data.length) throw broken("The ZIP file is cut off");
  if (latin1(data.subarray(header + 30, header + 30 + nameSize)) !== name) {
    throw broken(`${name} has two names`);
  }
  if (entry.flags & ~0x0808 || ![0, 8].includes(entry.method)) {
    throw broken(`${name} is encrypted or packed in a way that is not accepted`);
  }
  if (entry.method === 0 && (entry.packedSize !== entry.size || described)) {
    throw broken(`${name} is stored and has two sizes`);
  }
  const packedEnd = start + entry.packedSize;
  const end = packedEnd + (described ? 16 : 0);
  if (end > limit) throw broken(`${name} does not end before the ZIP file's directory`);
  if (described) {
    const stated = [0x08074b50, entry.crc, entry.packedSize, entry.size];
    if (!stated.every((value, place) => view.getUint32(packedEnd + 4 * place, true) === value)) {
      throw broken(`${name} is described in two ways`);
    }
  }
  if (name.endsWith("/") && entry.size) throw broken(`The folder ${name} has a content`);
  const localExtra = data.subarray(header + 30 + nameSize, start);
  return { ...entry, localExtra, start, end, packed: data.subarray(start, packedEnd) };
}

function checkEntries(entries) {
  const total = entries.reduce((size, entry) => size + entry.size, 0);
  const packed = entries.reduce((size, entry) => size + entry.packedSize, 0);
  if (total > 2 ** 31 || (total > 64 * 1024 * 1024 && total > 200 * packed)) {
    throw broken("The ZIP file unpacks to more than is accepted");
  }
  if (total > MAX_UNPACKED_BYTES) {
    throw new TooLarge(`The file unpacks to more than ${MAX_UNPACKED_BYTES >> 20} MiB`);
  }
  const seen = new Set();
  for (const { name } of entries) {
    if (seen.has(name.toLowerCase())) throw broken(`${name} stands in the ZIP file twice`);
    seen.add(name.toLowerCase());
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(data) {
  let crc = 0xffffffff;
  for (let at = 0; at < data.length; at++) crc = CRC_TABLE[(crc ^ data[at]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** The content of an entry; what is wrong though it could be read is added to `damage`. */
async function unpack(entry, damage) {
  const data = entry.method === 0 ? entry.packed : await inflate(entry);
  if (data.length !== entry.size) throw broken(`${entry.name} is shorter than the ZIP file says`);
  if (crc32(data) !== entry.crc) {
    damage.push(`${entry.name} does not have the checksum that the ZIP file states`);
  }
  return data;
}

async function inflate(entry) {
  const whole = new Uint8Array(entry.size);
  const stream = new DecompressionStream("deflate-raw");
  const writer = stream.writable.getWriter();
  const written = writer.write(entry.packed).then(() => writer.close());
  written.catch(() => {}); // the reader tells of it
  const reader = stream.readable.getReader();
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > entry.size) {
        throw broken(`${entry.name} is longer than the ZIP file says`);
      }
      whole.set(value, at);
      at += value.length;
    }
    await written;
  } catch (error) {
    reader.cancel().catch(() => {});
    throw error instanceof Malformed ? error : broken(`${entry.name} can't be unpacked`);
  }
  return whole.subarray(0, at);
}

// --- what no checksum covers ---------------------------------------------------------------------

/** Sentences about fields that no known writer leaves like that. */
function findOddities(entries) {
  const odd = [];
  const files = entries.filter((entry) => !entry.name.endsWith("/"));
  if (new Set(entries.map((entry) => entry.madeBy)).size > 1) {
    odd.push("the entries are by different writers");
  }
  if (new Set(files.map((entry) => `${entry.internal} ${entry.external}`)).size > 1) {
    odd.push("the entries have different attributes");
  }
  for (const entry of entries) {
    if (!(entry.method === 8 ? [20] : [10, 20]).includes(entry.needed)) {
      odd.push(`${entry.name} asks for a reader of version ${entry.needed}`);
    }
    if (entry.name.endsWith("/") && !folderRightsFit(entry, files)) {
      odd.push(`${entry.name} has rights that do not fit those of the files`);
    }
  }
  return [...odd, ...findExtraOddities(entries)];
}

function folderRightsFit(folder, files) {
  if (folder.internal || !files.length) return false;
  const mode = files[0].external >>> 16;
  if ((mode & 0o170000) !== 0o100000) return folder.external === 0x10;
  const rights = mode & 0o666;
  const expected = 0o040000 | rights | ((rights & 0o444) >> 2);
  return folder.external === ((expected << 16) | 0x10) >>> 0;
}

/** Extra fields by kind; null when they are malformed or one stands twice. */
function extraFields(extra) {
  const found = new Map();
  for (let at = 0; at < extra.length; ) {
    if (at + 4 > extra.length) return null;
    const kind = extra[at] | (extra[at + 1] << 8);
    const end = at + 4 + (extra[at + 2] | (extra[at + 3] << 8));
    if (found.has(kind) || end > extra.length) return null;
    found.set(kind, extra.subarray(at + 4, end));
    at = end;
  }
  return found;
}

const TIMES_FIELD = 0x5455;
const OWNER_FIELD = 0x7875;
const shown = (field) => (field === undefined ? "" : hex(field));

function findExtraOddities(entries) {
  const odd = [];
  const owners = new Set();
  const modified = [];
  const accessed = [];
  for (const entry of entries) {
    const central = extraFields(entry.extra);
    const local = extraFields(entry.localExtra);
    const kinds = central && [...central.keys()].join();
    if (!central || !local || kinds !== [...local.keys()].join()) {
      odd.push(`${entry.name} has malformed or unequal further fields`);
      continue;
    }
    const known = [...central.keys()].every((kind) => [TIMES_FIELD, OWNER_FIELD].includes(kind));
    if (!known || shown(central.get(OWNER_FIELD)) !== shown(local.get(OWNER_FIELD))) {
      odd.push(`${entry.name} has further fields that are not known`);
      continue;
    }
    owners.add(`${kinds} ${shown(central.get(OWNER_FIELD))}`);
    if (central.has(TIMES_FIELD)) {
      const times = entryTimes(central.get(TIMES_FIELD), local.get(TIMES_FIELD));
      if (times === null) {
        odd.push(`${entry.name} has two modification times`);
        continue;
      }
      modified.push(times[0]);
      accessed.push([entry.name, ...times]);
    }
  }
  if (owners.size > 1) odd.push("the entries have different owners or further fields");
  const packing = (Math.max(...modified) | 1) + 1;
  for (const [name, written, read] of accessed) {
    if (read !== written && read !== packing) {
      odd.push(`${name} has an access time that nothing confirms`);
    }
  }
  return odd;
}

function entryTimes(central, local) {
  if (central.length !== 5 || ![1, 3].includes(central[0])) return null;
  if (!same(local.subarray(0, 5), central)) return null;
  if (local.length !== (central[0] === 1 ? 5 : 9)) return null;
  const number = (at) => new DataView(local.buffer, local.byteOffset + at, 4).getUint32(0, true);
  const written = number(1);
  return [written, local.length > 5 ? number(5) : written];
}
