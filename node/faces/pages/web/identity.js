// An identity that a page owns: an Ed25519 key pair and its X25519 form (PROTOCOL.md, 2).
//
// Neither secret can be read by a script once it is imported: a page that is taken over later can
// use the identity while it is open, and not carry it away.
import { bytesOf, concat, peerIdOf, sha256 } from "./bytes.js";

const PUZZLE_BITS = 16;
const FIELD = 2n ** 255n - 19n;
const PKCS8 = "302e020100300506032b65";
const ED25519 = bytesOf(`${PKCS8}7004220420`);
const X25519 = bytesOf(`${PKCS8}6e04220420`);

export class Identity {
  constructor({ publicKey, signing, exchange, peerId }) {
    Object.assign(this, { publicKey, signing, exchange, peerId });
  }

  /** A new one, found by 65536 tries on average; `onTry` is called with the tries so far. */
  static async create(onTry = () => {}) {
    for (let tries = 1; ; tries += 1) {
      const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
      const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
      if (tries % 256 === 0) onTry(tries);
      if (await solvesPuzzle(publicKey)) {
        const secret = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
        return Identity._of(publicKey, secret.slice(ED25519.length));
      }
    }
  }

  /** That of a seed of 32 bytes whose public key is known. */
  static async _of(publicKey, seed) {
    const subtle = crypto.subtle;
    const signing = await subtle.importKey(
      "pkcs8", concat(ED25519, seed), "Ed25519", false, ["sign"],
    );
    const half = new Uint8Array(await subtle.digest("SHA-512", seed)).slice(0, 32);
    half[0] &= 248;
    half[31] = (half[31] & 127) | 64;
    const exchange = await subtle.importKey(
      "pkcs8", concat(X25519, half), "X25519", false, ["deriveBits"],
    );
    seed.fill(0);
    half.fill(0);
    return new Identity({ publicKey, signing, exchange, peerId: (await peerIdOf(publicKey)).text });
  }

  /** That of a seed of 32 bytes, as another program has it. */
  static async fromSeed(seed) {
    const key = await crypto.subtle.importKey(
      "pkcs8", concat(ED25519, seed), "Ed25519", true, ["sign"],
    );
    const { x } = await crypto.subtle.exportKey("jwk", key);
    const raw = atob(x.replaceAll("-", "+").replaceAll("_", "/"));
    return Identity._of(Uint8Array.from(raw, (letter) => letter.charCodeAt(0)), seed.slice());
  }

  /** This page's own, from its IndexedDB, where a new one is kept if there is none. */
  static async stored(name = "modswarm", onTry = () => {}) {
    const database = await opened(name);
    try {
      const kept = await done(database.transaction("keys").objectStore("keys").get("identity"));
      if (kept) return new Identity(kept);
      const identity = await Identity.create(onTry);
      const keys = database.transaction("keys", "readwrite").objectStore("keys");
      await done(keys.put({ ...identity }, "identity"));
      return identity;
    } finally {
      database.close();
    }
  }

  /** 64 bytes over `body`, good for this `kind` only. */
  async sign(kind, body) {
    const signed = concat(new TextEncoder().encode(`modswarm/${kind}/1\0`), body);
    return new Uint8Array(await crypto.subtle.sign("Ed25519", this.signing, signed));
  }
}

async function solvesPuzzle(publicKey) {
  const digest = await sha256(await sha256(publicKey));
  return new DataView(digest.buffer).getUint32(0) >>> (32 - PUZZLE_BITS) === 0;
}

/** The X25519 form of an Ed25519 public key: u = (1 + y) / (1 - y) (RFC 7748, 4.1). */
export function exchangeKey(publicKey) {
  let y = 0n;
  for (let at = 31; at >= 0; at -= 1) y = (y << 8n) | BigInt(at === 31 ? publicKey[at] & 127 : publicKey[at]);
  let u = ((1n + y) * power((1n - y + 2n * FIELD) % FIELD, FIELD - 2n)) % FIELD;
  return Uint8Array.from({ length: 32 }, () => {
    const byte = Number(u & 255n);
    u >>= 8n;
    return byte;
  });
}

function power(base, exponent) {
  let result = 1n;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * base) % FIELD;
    base = (base * base) % FIELD;
  }
  return result;
}

function opened(name) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore("keys");
  return done(request);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
