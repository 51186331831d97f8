// Serves a werift peer: one JSON request a line on stdin, one JSON answer a line on stdout.

import readline from "node:readline";
import { RTCPeerConnection } from "werift";
import "./peer.js";

// werift hands over Buffers and takes nothing else; the W3C API says ArrayBuffer.
const connection = new RTCPeerConnection({
  iceServers: [],
  iceAdditionalHostAddresses: ["127.0.0.1"],
});
const create = connection.createDataChannel.bind(connection);
connection.createDataChannel = (label, options) => adapt(create(label, options));

function adapt(channel) {
  const send = channel.send.bind(channel);
  channel.send = (data) => send(typeof data === "string" ? data : Buffer.from(data));
  return channel;
}

const peer = new globalThis.Peer(connection);
const adopt = peer.adopt.bind(peer);
peer.adopt = (channel) => adopt(adapt(channel));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { action, ...details } = JSON.parse(line);
  const value = (await peer[action](details)) ?? null;
  process.stdout.write(`${JSON.stringify({ value })}\n`);
}
process.exit(0);
