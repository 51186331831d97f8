// Noise_KK_25519_AESGCM_SHA256, as the caller, and the frames' encryption (PROTOCOL.md, 8).
import { concat, sha256 } from "./bytes.js";
import { exchangeKey } from "./identity.js";

const NAME = new TextEncoder().encode("Noise_KK_25519_AESGCM_SHA256");
const EPHEMERAL_BYTES = 32;

/** A key pair for one call. */
export async function ephemeralKey() {
  const { publicKey, privateKey } = await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
  const raw = await crypto.subtle.exportKey("raw", publicKey);
  return { publicKey: new Uint8Array(raw), privateKey };
}

/** The session, once `answered` has proved the callee; throws where it does not. */
export async function begin({ identity, ephemeral, calleeKey, prologue, answered }) {
  const ownStatic = exchangeKey(identity.publicKey);
  const theirStatic = exchangeKey(calleeKey);
  const state = new Symmetric();
  for (const known of [prologue, ownStatic, theirStatic]) await state.mixHash(known);

  await state.mixHash(ephemeral.publicKey); // -> e, es, ss
  await state.mixKey(await agreed(ephemeral.privateKey, theirStatic));
  await state.mixKey(await agreed(identity.exchange, theirStatic));
  await state.mixHash(await state.seal());

  const theirs = answered.slice(0, EPHEMERAL_BYTES); // <- e, ee, se
  await state.mixHash(theirs);
  await state.mixKey(await agreed(ephemeral.privateKey, theirs));
  await state.mixKey(await agreed(identity.exchange, theirs));
  await state.expect(answered.slice(EPHEMERAL_BYTES));
  const [sending, receiving] = await hkdf(state.chainingKey, new Uint8Array(0));
  return new Session(await cipher(sending), await cipher(receiving));
}

/** One key for each direction; nonces are counted from 0 and never sent. */
class Session {
  constructor(sending, receiving) {
    this._sending = sending;
    this._receiving = receiving;
    this._sent = this._received = 0;
  }

  async encrypt(frame) {
    const terms = { name: "AES-GCM", iv: nonce(this._sent++) };
    return new Uint8Array(await crypto.subtle.encrypt(terms, this._sending, frame));
  }

  async decrypt(message) {
    const terms = { name: "AES-GCM", iv: nonce(this._received++) };
    return new Uint8Array(await crypto.subtle.decrypt(terms, this._receiving, message));
  }
}

/** SymmetricState of Noise 5.2. */
class Symmetric {
  constructor() {
    this.chainingKey = concat(NAME, new Uint8Array(32 - NAME.length));
    this._hash = this.chainingKey;
    this._key = null;
  }

  async mixHash(data) {
    this._hash = await sha256(concat(this._hash, data));
  }

  async mixKey(secret) {
    [this.chainingKey, this._key] = await hkdf(this.chainingKey, secret);
  }

  async seal() {
    const key = await cipher(this._key);
    const none = new Uint8Array(0);
    return new Uint8Array(await crypto.subtle.encrypt(this._terms(), key, none));
  }

  async expect(sealed) {
    const key = await cipher(this._key);
    try {
      const payload = await crypto.subtle.decrypt(this._terms(), key, sealed);
      if (payload.byteLength) throw new Error("a payload");
    } catch {
      throw new Error("the node has not proved its identity");
    }
    await this.mixHash(sealed);
  }

  _terms() {
    return { name: "AES-GCM", iv: nonce(0), additionalData: this._hash };
  }
}

async function agreed(privateKey, publicKey) {
  const theirs = await crypto.subtle.importKey("raw", publicKey, "X25519", false, []);
  const terms = { name: "X25519", public: theirs };
  return new Uint8Array(await crypto.subtle.deriveBits(terms, privateKey, 256));
}

async function hkdf(chainingKey, secret) {
  const temporary = await hmac(chainingKey, secret);
  const first = await hmac(temporary, Uint8Array.of(1));
  return [first, await hmac(temporary, concat(first, Uint8Array.of(2)))];
}

async function hmac(key, data) {
  const terms = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, terms, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
}

function cipher(key) {
  return crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
}

function nonce(count) {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setBigUint64(4, BigInt(count));
  return bytes;
}
