// Bytes: hex, hashes, peer ids, and the canonical MessagePack of PROTOCOL.md, 1.

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const ID_BYTES = 20;

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes that hex digits spell. */
export function bytesOf(text) {
  if (!/^([0-9a-f]{2})*$/i.test(text)) throw new Error("not bytes in hex");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** A peer id as `{bytes, text}`, of a public key, or of its text where the key is null. */
export async function peerIdOf(publicKey, text = "") {
  if (publicKey) {
    const bytes = (await sha256(publicKey)).slice(0, ID_BYTES);
    let number = BigInt(`0x${hex(bytes)}`), written = "";
    for (let left = 32; left > 0; left -= 1) {
      written = BASE32[Number(number & 31n)] + written;
      number >>= 5n;
    }
    return { bytes, text: `p${written}` };
  }
  if (!/^p[a-z2-7]{32}$/.test(text)) throw new Error("not a peer id");
  let number = 0n;
  for (const letter of text.slice(1)) number = (number << 5n) | BigInt(BASE32.indexOf(letter));
  return { bytes: bytesOf(number.toString(16).padStart(2 * ID_BYTES, "0")), text };
}

/** The canonical bytes of a list, a number, a text, a boolean or a Uint8Array. */
export function pack(value) {
  if (value instanceof Uint8Array) return concat(head(value.length, [0xc4, 0xc5, 0xc6]), value);
  if (Array.isArray(value)) {
    if (value.length > 15) throw new RangeError("a list of more than 15");
    return concat(Uint8Array.of(0x90 | value.length), ...value.map(pack));
  }
  if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    const short = text.length < 32 ? Uint8Array.of(0xa0 | text.length) : null;
    return concat(short ?? head(text.length, [0xd9, 0xda, 0xdb]), text);
  }
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xc3 : 0xc2);
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** 32) {
    throw new RangeError("not a whole number from 0 to 2^32 - 1");
  }
  return value < 128 ? Uint8Array.of(value) : head(value, [0xcc, 0xcd, 0xce]);
}

function head(number, [one, two, four]) {
  if (number < 0x100) return Uint8Array.of(one, number);
  if (number < 0x10000) return Uint8Array.of(two, number >> 8, number & 255);
  const bytes = new Uint8Array(5);
  bytes[0] = four;
  new DataView(bytes.buffer).setUint32(1, number);
  return bytes;
}

/** The value that bytes spell; throws for any that `pack` does not write. */
export function unpack(bytes) {
  const reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset), at: 0 };
  const value = read(reader, 0);
  if (reader.at !== bytes.length) throw new Error("more bytes than one value");
  return value;
}

function read(reader, depth) {
  const first = number(reader, 1);
  if (first < 0x80) return first;
  if (first >= 0x90 && first < 0xa0 && depth < 8) {
    return Array.from({ length: first & 15 }, () => read(reader, depth + 1));
  }
  if (first >= 0xa0 && first < 0xc0) return text(reader, first & 31);
  if (first === 0xc2 || first === 0xc3) return first === 0xc3;
  if (first >= 0xc4 && first <= 0xc6) return taken(reader, number(reader, 1 << (first - 0xc4)));
  if (first >= 0xcc && first <= 0xce) return number(reader, 1 << (first - 0xcc));
  if (first >= 0xd9 && first <= 0xdb) return text(reader, number(reader, 1 << (first - 0xd9)));
  throw new Error("not a value that a frame holds");
}

function number(reader, size) {
  const at = reader.at;
  taken(reader, size);
  const { view } = reader;
  return size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at);
}

function taken(reader, size) {
  if (reader.at + size > reader.bytes.length) throw new Error("bytes that end too early");
  reader.at += size;
  return reader.bytes.slice(reader.at - size, reader.at);
}

function text(reader, size) {
  return new TextDecoder("utf-8", { fatal: true }).decode(taken(reader, size));
}
