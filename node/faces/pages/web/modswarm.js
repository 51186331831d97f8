// A link of a web page with a modswarm node: WebRTC, and the Noise session that proves both sides.
//
//   import { Identity, connect } from "./modswarm.js";
//   const identity = await Identity.stored();
//   const link = await connect({ api: "http://127.0.0.1:PORT", token, peer, identity });
//   const held = await link.holds(modId);
//
// `api` and `token` stand in control.json in the node's home, `peer` is what `modswarm id` shows.
// PROTOCOL.md, 8 and 8.1, has the bytes.
import { bytesOf, hex, pack, peerIdOf, sha256, unpack } from "./bytes.js";
import { Identity } from "./identity.js";
import { begin, ephemeralKey } from "./noise.js";

export { Identity };

const CHANNEL = "modswarm"; // negotiated, id 0
const MESSAGE_BYTES = 65536;
const TAG_BYTES = 16;
const AHEAD_BYTES = 1 << 20; // so much waits in the browser before `send` makes its caller wait
const UNREAD_BYTES = 16 << 20; // and so much of the node's, before a page that does not read loses it
const GATHER_MS = 5000;
const OPEN_MS = 15000;
const MANIFEST_BYTES = 64 << 20;
const ROLES = { actpass: 0, active: 1, passive: 2 };

const OPEN = 0, GET_MANIFEST = 1, GET_CHUNKS = 2, CLOSE = 4;
const OPENED = 16, MANIFEST_PIECE = 18, CHUNK_PIECE = 19, MISSING = 20, REFUSED = 21;
const NOT_HELD = 0;

/** The TURN servers that the node gives to pages: for `iceServers` of `connect`. */
export async function servers({ api, token }) {
  const told = await ask(`${api}/v1/pages/servers`, { headers: authorization(token) });
  return told.ice_servers;
}

/** A link with the node `peer`, once both sides have proved who they are. Throws an Error. */
export async function connect({ api, token, peer, identity, iceServers = [], relayed = false }) {
  const policy = relayed ? "relay" : "all";
  const connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: policy });
  try {
    const channel = connection.createDataChannel(CHANNEL, { negotiated: true, id: 0 });
    channel.binaryType = "arraybuffer";
    const sdp = await offered(connection);
    const ephemeral = await ephemeralKey();
    const call = await signed(identity, peer, sdp, ephemeral.publicKey);
    const headers = { ...authorization(token), "Content-Type": "application/json" };
    const body = JSON.stringify(call.body);
    const answer = await ask(`${api}/v1/pages`, { method: "POST", headers, body });
    const calleeKey = bytesOf(answer.key);
    if ((await peerIdOf(calleeKey)).text !== peer) throw new Error("another node has answered");
    const prologue = await prologueOf(call, identity, calleeKey, answer.sdp);
    const session = await begin({
      identity, ephemeral, calleeKey, prologue, answered: bytesOf(answer.session),
    });
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    await opened(connection, channel);
    const link = new Link(connection, channel, session);
    await link.sendBytes(new Uint8Array(0)); // proves to the node that this page is there
    return link;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Frames to and from a node, in order, under the session's keys. */
export class Link {
  constructor(connection, channel, session) {
    this.connection = connection;
    this.onframe = null; // called with each frame that no method here waits for, as bytes
    this.closed = new Promise((resolve) => { this._end = resolve; });
    this._channel = channel;
    this._session = session;
    this._sending = this._receiving = Promise.resolve();
    this._unread = 0;
    this._streams = new Map();
    this._next = 0;
    channel.bufferedAmountLowThreshold = AHEAD_BYTES / 2;
    channel.onmessage = ({ data }) => this._received(data);
    channel.onclose = () => this._lose("the node closed the link");
  }

  /** Send one frame: a list of numbers, texts, Uint8Arrays and lists; returns once there is room. */
  send(frame) {
    return this.sendBytes(pack(frame));
  }

  /** The same for a frame that is bytes already. */
  sendBytes(frame) {
    if (frame.length > MESSAGE_BYTES - TAG_BYTES) throw new RangeError("the frame is too long");
    this._sending = this._sending.then(async () => {
      const message = await this._session.encrypt(frame);
      if (this._channel.readyState !== "open") throw new Error("the link is closed");
      this._channel.send(message);
      while (this._channel.bufferedAmount > AHEAD_BYTES) await this._room();
    });
    return this._sending;
  }

  /** What the node holds of a mod (32 bytes): `{manifestBytes, complete}`, or null. */
  async holds(modId) {
    const stream = await this._open(modId);
    if (stream.held) await this._close(stream);
    return stream.held;
  }

  /** The sealed manifest of a mod, whose SHA-256 is its id. */
  async manifest(modId) {
    const stream = await this._open(modId);
    if (!stream.held) throw new Error("the node does not hold this mod");
    const total = stream.held.manifestBytes;
    if (total > MANIFEST_BYTES) throw new Error("a manifest that is too long");
    await this.send([GET_MANIFEST, stream.number]);
    const manifest = new Uint8Array(total);
    for (let at = 0; at < total;) {
      const [type, , offset, piece] = await stream.answer();
      if (type !== MANIFEST_PIECE) continue;
      if (offset !== at || at + piece.length > total) throw new Error("a piece out of its order");
      manifest.set(piece, at);
      at += piece.length;
    }
    await this._close(stream);
    if (hex(await sha256(manifest)) !== hex(modId)) throw new Error("not the manifest of this mod");
    return manifest;
  }

  /** A sealed chunk of a mod, of so many bytes, by its number in the manifest's table. */
  async chunk(modId, number, size) {
    const stream = await this._open(modId);
    if (!stream.held) throw new Error("the node does not hold this mod");
    const asked = new Uint8Array(4);
    new DataView(asked.buffer).setUint32(0, number);
    await this.send([GET_CHUNKS, stream.number, asked]);
    const chunk = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const [type, , , offset, piece] = await stream.answer();
      if (type === MISSING) throw new Error("the node does not hold this chunk");
      if (type !== CHUNK_PIECE) continue;
      if (offset !== at || at + piece.length > size) throw new Error("a piece out of its order");
      chunk.set(piece, at);
      at += piece.length;
    }
    await this._close(stream);
    return chunk;
  }

  /** End the link. */
  close() {
    this._lose("closed by the page");
  }

  async _open(modId) {
    const stream = new Stream(this._next++);
    this._streams.set(stream.number, stream);
    await this.send([OPEN, stream.number, modId]);
    const [type, , manifestBytes, complete] = await stream.answer();
    if (type === OPENED) stream.held = { manifestBytes, complete };
    else this._streams.delete(stream.number);
    return stream;
  }

  async _close(stream) {
    this._streams.delete(stream.number);
    await this.send([CLOSE, stream.number]);
  }

  _room() {
    return new Promise((resolve, reject) => {
      this._channel.addEventListener("bufferedamountlow", resolve, { once: true });
      this.closed.then((reason) => reject(new Error(reason)));
    });
  }

  _received(data) {
    this._unread += data.byteLength ?? 0;
    if (this._unread > UNREAD_BYTES) this._lose("the page reads more slowly than the node sends");
    this._receiving = this._receiving.then(async () => {
      const frame = await this._session.decrypt(new Uint8Array(data));
      this._unread -= data.byteLength;
      await this._deliver(frame);
    }).catch((error) => this._lose(String(error)));
  }

  async _deliver(frame) {
    const type = frame[1];
    if (type === OPEN) { // this page holds nothing
      await this.send([REFUSED, unpack(frame)[1], NOT_HELD]);
    } else if (type >= OPENED && type < 32) {
      const answer = unpack(frame);
      this._streams.get(answer[1])?.take(answer);
    } else if (this.onframe) {
      await this.onframe(frame);
    }
  }

  _lose(reason) {
    this._end(reason);
    for (const stream of this._streams.values()) stream.lose(reason);
    this._streams.clear();
    this.connection.close();
  }
}

class Stream {
  constructor(number) {
    this.number = number;
    this.held = null;
    this._answers = [];
    this._waiting = null;
    this._lost = "";
  }

  take(answer) {
    this._answers.push(answer);
    this._waiting?.();
  }

  lose(reason) {
    this._lost = reason;
    this._waiting?.();
  }

  async answer() {
    while (!this._answers.length) {
      if (this._lost) throw new Error(this._lost);
      await new Promise((resolve) => { this._waiting = resolve; });
    }
    return this._answers.shift();
  }
}

/** The offer of a connection as SDP, with all candidates that came in time. */
async function offered(connection) {
  await connection.setLocalDescription(await connection.createOffer());
  await new Promise((resolve) => {
    const look = () => connection.iceGatheringState === "complete" && resolve();
    connection.addEventListener("icegatheringstatechange", look);
    setTimeout(resolve, GATHER_MS);
    look();
  });
  return connection.localDescription.sdp;
}

/** What the node is asked, and what the session's prologue needs of it. */
async function signed(identity, peer, sdp, session) {
  const offerId = crypto.getRandomValues(new Uint8Array(16));
  const issued = Math.floor(Date.now() / 1000);
  const fingerprint = fingerprintIn(sdp);
  const calleeId = (await peerIdOf(null, peer)).bytes;
  const part = pack([
    identity.publicKey, calleeId, offerId, issued,
    attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd"), fingerprint,
    ROLES[attribute(sdp, "setup")], session,
  ]);
  const signature = await identity.sign("page offer", part);
  const body = {
    key: hex(identity.publicKey), offer_id: hex(offerId), issued, session: hex(session),
    signature: hex(signature), sdp,
  };
  return { body, offerId, fingerprint };
}

async function prologueOf(call, identity, calleeKey, answerSdp) {
  const role = ROLES[attribute(answerSdp, "setup")];
  return pack([
    "modswarm/link/2",
    call.offerId,
    [identity.publicKey, call.fingerprint, role === ROLES.active ? ROLES.passive : ROLES.active],
    [calleeKey, fingerprintIn(answerSdp), role],
  ]);
}

function attribute(sdp, name) {
  const found = sdp.match(new RegExp(`^a=${name}:(.*?)\\r?$`, "m"));
  if (!found) throw new Error(`the browser's offer has no ${name}`);
  return found[1];
}

function fingerprintIn(sdp) {
  return bytesOf(attribute(sdp, "fingerprint").replace(/^sha-256 /i, "").replaceAll(":", ""));
}

function opened(connection, channel) {
  return new Promise((resolve, reject) => {
    if (channel.readyState === "open") resolve();
    channel.onopen = resolve;
    channel.onclose = () => reject(new Error("the node gave the link up"));
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed") reject(new Error("no way to the node"));
    };
    setTimeout(() => reject(new Error("the link did not open in time")), OPEN_MS);
  });
}

function authorization(token) {
  return { Authorization: `Bearer ${token}` };
}

async function ask(url, request) {
  const answer = await fetch(url, { ...request, cache: "no-store" });
  const told = await answer.json();
  if (told.error) throw Object.assign(new Error(told.error.message), { name: told.error.name });
  return told;
}
