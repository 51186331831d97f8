// What a web page does with a node in tests, by the module that pages use.

const DATA = 64, END = 65, WISH = 66, BACK = 67;
const PIECE_BYTES = 60000;
let modswarm, bytes;
const ready = (async () => {
  modswarm = await import("/web/modswarm.js");
  bytes = await import("/web/bytes.js");
})();

async function link({ api, token, peer, seed, iceServers, relayed }) {
  const identity = await modswarm.Identity.fromSeed(bytes.bytesOf(seed));
  return modswarm.connect({ api, token, peer, identity, iceServers, relayed });
}

async function pattern(size) {
  const whole = new Uint8Array(Math.ceil(size / 32) * 32);
  const encoder = new TextEncoder();
  for (let at = 0; at < whole.length / 32; at += 1) {
    whole.set(await bytes.sha256(encoder.encode(String(at))), at * 32);
  }
  return whole.slice(0, size);
}

function told(link) { // the next frames, by their type, as they come
  const waiting = {}, frames = {};
  link.onframe = (frame) => {
    const [type, value] = bytes.unpack(frame);
    (frames[type] ??= []).push(value);
    waiting[type]?.();
  };
  return async (type) => {
    while (!frames[type]?.length) await new Promise((resolve) => { waiting[type] = resolve; });
    return frames[type].shift();
  };
}

async function up(link, next, whole) {
  const began = performance.now();
  for (let at = 0; at < whole.length; at += PIECE_BYTES) {
    await link.send([DATA, whole.subarray(at, at + PIECE_BYTES)]);
  }
  await link.send([END, 0]);
  const digest = await next(END);
  return { digest, seconds: (performance.now() - began) / 1000 };
}

async function down(link, next, size) {
  const began = performance.now();
  await link.send([WISH, size]);
  const whole = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const piece = await next(BACK);
    whole.set(piece, at);
    at += piece.length;
  }
  const seconds = (performance.now() - began) / 1000;
  return { digest: bytes.hex(await bytes.sha256(whole)), seconds };
}

async function moved(scene) { // so many bytes up, and as many down
  const opened = await link(scene);
  const whole = await pattern(scene.size);
  const next = told(opened);
  const result = { up: await up(opened, next, whole), down: await down(opened, next, scene.size) };
  const stats = [...(await opened.connection.getStats()).values()];
  const pair = stats.find((one) => one.type === "candidate-pair" && one.nominated);
  result.local = stats.find((one) => one.id === pair.localCandidateId).candidateType;
  opened.close();
  return result;
}

async function held({ modId, ...scene }) {
  const opened = await link(scene);
  const id = bytes.bytesOf(modId);
  const nothing = await opened.holds(new Uint8Array(32));
  const result = { nothing, held: await opened.holds(id) };
  if (result.held) result.manifest = bytes.hex(await bytes.sha256(await opened.manifest(id)));
  opened.close();
  return result;
}

async function chunk({ modId, number, size, ...scene }) { // by its bytes in hex, or why it is none
  const opened = await link(scene);
  const asked = opened.chunk(bytes.bytesOf(modId), number, size);
  const result = await asked.then(bytes.hex, (error) => error.message);
  opened.close();
  return result;
}

async function relayedMoved(scene) {
  const iceServers = await modswarm.servers(scene);
  return moved({ ...scene, iceServers, relayed: true });
}

async function plain({ size }) { // seconds for so many bytes between two connections of this browser
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  one.onicecandidate = ({ candidate }) => other.addIceCandidate(candidate);
  other.onicecandidate = ({ candidate }) => one.addIceCandidate(candidate);
  const terms = { negotiated: true, id: 0 };
  const [channel, arriving] = [one, other].map((end) => end.createDataChannel("plain", terms));
  const open = new Promise((resolve) => { channel.onopen = resolve; });
  await one.setLocalDescription(await one.createOffer());
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription(await other.createAnswer());
  await one.setRemoteDescription(other.localDescription);
  await open;
  let left = size;
  const arrived = new Promise((resolve) => {
    arriving.onmessage = ({ data }) => { if (!(left -= data.byteLength)) resolve(); };
  });
  arriving.binaryType = "arraybuffer";
  channel.bufferedAmountLowThreshold = 1 << 19;
  const began = performance.now();
  for (let at = 0; at < size; at += PIECE_BYTES) {
    channel.send(new Uint8Array(Math.min(PIECE_BYTES, size - at)));
    while (channel.bufferedAmount > 1 << 20) {
      await new Promise((resolve) => { channel.onbufferedamountlow = resolve; });
    }
  }
  await arrived;
  const seconds = (performance.now() - began) / 1000;
  one.close();
  other.close();
  return seconds;
}

async function kept({ seed }) { // an identity that is found at the first try, kept and read
  modswarm.Identity.create = () => modswarm.Identity.fromSeed(bytes.bytesOf(seed));
  const first = await modswarm.Identity.stored();
  modswarm.Identity.create = () => { throw new Error("none was kept"); };
  const again = await modswarm.Identity.stored();
  const read = await Promise.all([again.signing, again.exchange].map((key) => crypto.subtle
    .exportKey("pkcs8", key).then(() => "read", (error) => error.name)));
  return { first: first.peerId, again: again.peerId, read };
}

async function pairOf(seed) { // that of a seed, as generateKey makes them
  const [usage, head] = [["sign"], bytes.bytesOf("302e020100300506032b657004220420")];
  const pkcs8 = bytes.concat(head, bytes.bytesOf(seed));
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, usage);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  const jwk = { kty: "OKP", crv: "Ed25519", x };
  return { privateKey, publicKey: await crypto.subtle.importKey("jwk", jwk, "Ed25519", true, ["verify"]) };
}

async function created({ seeds, ...scene }) { // an identity of the first of these keys that is good
  const tries = [];
  const { generateKey } = SubtleCrypto.prototype;
  const left = await Promise.all(seeds.map(pairOf));
  SubtleCrypto.prototype.generateKey = async function given(...terms) {
    const made = await generateKey.apply(this, terms);
    if (terms[0] !== "Ed25519") return made;
    const good = left.shift();
    for (const half of ["publicKey", "privateKey"]) { // what a browser makes has the same form
      const [one, other] = [made[half], good[half]];
      const form = half === "publicKey" ? "raw" : "pkcs8";
      const [real, ours] = await Promise.all([one, other].map((key) => crypto.subtle.exportKey(form, key)));
      if (real.byteLength !== ours.byteLength) throw new Error(`${form} of ${real.byteLength} bytes`);
      if (one.extractable !== other.extractable) throw new Error("a key that is not to be read");
    }
    return good;
  };
  try {
    const identity = await modswarm.Identity.create((count) => tries.push(count));
    const { api, token, peer } = scene;
    const opened = await modswarm.connect({ api, token, peer, identity });
    opened.close();
    const read = await Promise.all([identity.signing, identity.exchange].map((key) => crypto.subtle
      .exportKey("pkcs8", key).then(() => "read", (error) => error.name)));
    return { peerId: identity.peerId, tries, left: left.length, read };
  } finally {
    SubtleCrypto.prototype.generateKey = generateKey;
  }
}

// Pages that do not keep to the rules, by the module's own parts.

async function raw(scene, { claimed, spoil, beside, rewritten } = {}) { // an open channel, and its link
  const identity = await modswarm.Identity.fromSeed(bytes.bytesOf(scene.seed));
  const { createDataChannel, setRemoteDescription } = RTCPeerConnection.prototype;
  let channel;
  Object.assign(RTCPeerConnection.prototype, {
    createDataChannel(label, options) {
      channel = createDataChannel.call(this, label, options);
      for (let made = 0; made < (beside ?? 0); made += 1) createDataChannel.call(this, `c${made}`);
      channel.first = null;
      channel.sendWhole = channel.send.bind(channel);
      channel.send = (message) => { // the page's proof is the first message
        channel.first ??= new Uint8Array(message);
        const sent = spoil ? spoil(channel.first) : message;
        if (sent) channel.sendWhole(sent);
      };
      return channel;
    },
    setRemoteDescription({ type, sdp }) {
      return setRemoteDescription.call(this, { type, sdp: rewritten ? rewritten(sdp) : sdp });
    },
  });
  try {
    const { api, token, peer } = scene;
    const opened = await modswarm.connect({ api, token, peer, identity: claimed ?? identity });
    return { link: opened, channel };
  } finally {
    Object.assign(RTCPeerConnection.prototype, { createDataChannel, setRemoteDescription });
  }
}

async function heardOf(channel, link) { // what the node still says, until it ends the link
  let messages = 0;
  channel.addEventListener("message", () => { messages += 1; });
  const reason = await link.closed;
  return { messages, reason };
}

const openFrame = () => bytes.pack([0, 0, new Uint8Array(32)]);

async function unproved(scene) { // asks in the clear, in place of its proof
  const { channel, link } = await raw(scene, { spoil: () => openFrame() });
  return heardOf(channel, link);
}

async function silent(scene) { // proves nothing and asks nothing; the node gives it up
  const { channel, link } = await raw(scene, { spoil: () => null });
  return heardOf(channel, link);
}

async function otherKey(scene) { // signs as itself, and has not the X25519 half of its key
  const own = await modswarm.Identity.fromSeed(bytes.bytesOf(scene.seed));
  const other = await modswarm.Identity.fromSeed(new Uint8Array(32).fill(7));
  own.exchange = other.exchange;
  return raw(scene, { claimed: own });
}

async function otherKeyOverlooked(scene) { // and goes on, though the node's answer proves nothing
  const { decrypt } = SubtleCrypto.prototype;
  SubtleCrypto.prototype.decrypt = async function overlooked(...terms) {
    return decrypt.apply(this, terms).catch(() => new ArrayBuffer(0));
  };
  try {
    const { channel, link } = await otherKey(scene);
    return await heardOf(channel, link);
  } finally {
    SubtleCrypto.prototype.decrypt = decrypt;
  }
}

async function replayed(scene) { // shows the proof of an earlier link
  const earlier = await raw(scene);
  const proof = earlier.channel.first;
  earlier.link.close();
  const { channel, link } = await raw(scene, { spoil: () => proof });
  return heardOf(channel, link);
}

async function channels({ count, ...scene }) { // wants as many beside its own
  const { link } = await raw(scene, { beside: count });
  let late = "";
  try {
    link.connection.createDataChannel("late");
  } catch (error) { // the node's SCTP has told that it takes one stream
    late = error.name;
  }
  const answer = await Promise.race([
    link.holds(new Uint8Array(32)).then(() => "served"), link.closed,
  ]);
  link.close();
  return { late, answer };
}

async function huge({ size, overlooks, ...scene }) { // one message of so many bytes
  const without = (sdp) => sdp.replace(/a=max-message-size:[0-9]+/, "a=max-message-size:0");
  const { link, channel } = await raw(scene, overlooks ? { rewritten: without } : {});
  let refused = "";
  try {
    channel.sendWhole(new Uint8Array(size));
  } catch (error) {
    refused = error.name;
  }
  const answer = await Promise.race([
    link.holds(new Uint8Array(32)).then(() => "served"), link.closed,
  ]);
  link.close();
  return { refused, answer };
}

async function deaf({ size, ...scene }) { // wishes for bytes, and never reads them
  const { link, channel } = await raw(scene);
  await link.send([WISH, size]);
  channel.onmessage = () => { for (;;); };
  return "wished";
}

async function flood({ count, seeds, ...scene }) { // so many offers at once, of several pages
  const identities = await Promise.all(
    seeds.map((seed) => modswarm.Identity.fromSeed(bytes.bytesOf(seed))));
  const { api, token, peer } = scene;
  const asked = Array.from({ length: count }, (_, number) => modswarm
    .connect({ api, token, peer, identity: identities[number % identities.length] })
    .then((opened) => { opened.close(); return "linked"; }, (error) => error.name));
  const names = await Promise.all(asked);
  return names.reduce((sum, name) => ({ ...sum, [name]: (sum[name] ?? 0) + 1 }), {});
}
