// A WebRTC peer for tests, on the W3C API: in Chromium as a page's script, and on Node over werift.

function payload(index, size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at * 31 + (at >> 8) + index * 7) & 255;
  return bytes;
}

function describe(data, index) {
  if (typeof data === "string") return data;
  const bytes = new Uint8Array(data);
  const expected = payload(index, bytes.length);
  return bytes.every((byte, at) => byte === expected[at]) ? bytes.length : -1;
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

class Peer {
  constructor(connection) {
    this.connection = connection;
    this.channels = {};
    this.messages = {};
    connection.ondatachannel = (event) => this.adopt(event.channel);
  }

  adopt(channel) {
    const heard = [];
    channel.binaryType = "arraybuffer";
    channel.onmessage = (event) => heard.push(describe(event.data, heard.length));
    this.channels[channel.label] = channel;
    this.messages[channel.label] = heard;
  }

  async relayedBy({ servers }) {
    this.connection.setConfiguration({ iceServers: servers, iceTransportPolicy: "relay" });
  }

  async pair() {
    const stats = [...(await this.connection.getStats()).values()];
    const pair = stats.find((one) => one.type === "candidate-pair" && one.nominated);
    const local = stats.find((one) => one.id === pair.localCandidateId);
    return [local.candidateType, local.address, local.port];
  }

  async gathered(description) {
    await this.connection.setLocalDescription(description);
    await until(() => this.connection.iceGatheringState === "complete");
    return this.connection.localDescription.sdp;
  }

  async open({ label, options }) {
    this.adopt(this.connection.createDataChannel(label, options));
  }

  async offer() {
    return this.gathered(await this.connection.createOffer());
  }

  async answer({ sdp }) {
    await this.connection.setRemoteDescription({ type: "offer", sdp });
    return this.gathered(await this.connection.createAnswer());
  }

  async accept({ sdp }) {
    await this.connection.setRemoteDescription({ type: "answer", sdp });
  }

  async send({ label, messages }) {
    await until(() => this.channels[label]?.readyState === "open");
    messages.forEach((message, index) => {
      const data = typeof message === "string" ? message : payload(index, message);
      this.channels[label].send(data);
    });
  }

  async heard({ label, count }) {
    await until(() => (this.messages[label] ?? []).length >= count);
    return this.messages[label];
  }

  async terms({ label }) {
    await until(() => this.channels[label]?.readyState === "open");
    const { ordered, protocol, maxRetransmits, maxPacketLifeTime } = this.channels[label];
    return [ordered, protocol, maxRetransmits ?? null, maxPacketLifeTime ?? null];
  }

  async close({ label }) {
    this.channels[label].close();
  }

  async closed({ label }) {
    await until(() => this.channels[label].readyState === "closed");
  }

  async end() {
    await this.connection.close();
  }
}

globalThis.Peer = Peer;
