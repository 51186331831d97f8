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

async function relayedMoved(scene) {
  const iceServers = await modswarm.servers(scene);
  return moved({ ...scene, iceServers, relayed: true });
}
