// One call's line: WebRTC to the call host. Knows nothing of the page, the microphone or of dialling again.
//
// Events of the server come as JSON on the data channel "events"; typed text goes the same way.

import { CallFailed, CallHttp } from "./call_http.js";
import { reportStats } from "./stats.js";

const GATHER_MS = 1000; // candidates that come later are sent after
const CONNECT_MS = 15000;
const LOST_MS = 10000; // ICE heals itself within a few seconds, or not at all

export class Line {
  #http;
  #peer = null;
  #sender = null;
  #channel = null;
  #offered = false;
  #late = [];
  #closed = false;
  #lostTimer = 0;
  #stopStats = () => {};

  // on: { sound(stream), connection(state), channel(), event(object), over(code) };
  // channel() = typed text can be sent; over("vanished") = the other side closed the line, perhaps without a word;
  // over("connection_lost") = it broke.
  // http: of a call whose connection broke, to go on with it; see release().
  constructor({ tenant, token, on, http = null }) {
    this.#http = http ?? new CallHttp({ tenant, token });
    this.on = on;
  }

  // Resolves when sound can flow. Throws CallFailed.
  async open(track) {
    if (typeof RTCPeerConnection === "undefined") throw new CallFailed("webrtc_missing");
    const peer = (this.#peer = new RTCPeerConnection({ iceServers: [] }));
    this.#sender = peer.addTrack(track, new MediaStream([track]));
    peer.ontrack = ({ track: voice }) => !this.#closed && this.on.sound(new MediaStream([voice]));
    peer.onicecandidate = ({ candidate }) => candidate?.candidate && this.#offered && this.#trickle(candidate);
    const connected = this.#watch(peer);
    connected.catch(() => {}); // it is awaited below; without this, a failure before that would be reported twice
    this.#openChannel(peer);
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    this.#stopIfClosed();
    await this.#negotiate(peer);
    await connected;
    this.#stopIfClosed();
  }

  // Another microphone, in the same call.
  async replaceTrack(track) {
    await this.#sender?.replaceTrack(track);
  }

  // False when the channel is not open (any more).
  say(text) {
    return this.#tell({ type: "caller.text", text });
  }

  // Somebody is writing: the agent need not ask whether anybody is there.
  typing() {
    this.#tell({ type: "caller.typing" });
  }

  #tell(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  // What the server says of this call: { ended, reason }, or null when it cannot be asked.
  state() {
    return this.#http.state();
  }

  get broken() {
    return ["failed", "closed"].includes(this.#peer?.connectionState);
  }

  // Hangs up. Safe to call at any time, also twice.
  close() {
    if (!this.#closed) this.release().hangUp();
  }

  // Lets go of the connection but not of the call: what comes back can be given to another line.
  release() {
    this.#closed = true;
    clearTimeout(this.#lostTimer);
    this.#stopStats();
    this.#peer?.close();
    return this.#http;
  }

  #openChannel(peer) {
    this.#channel = peer.createDataChannel("events");
    this.#channel.onopen = () => {
      if (this.#closed) return;
      this.#stopStats = reportStats(peer, (message) => this.#tell(message));
      this.on.channel();
    };
    this.#channel.onmessage = ({ data }) => {
      const event = this.#closed ? null : readEvent(data);
      if (event) this.on.event(event);
    };
    // Closed in order only when the other side hangs up; a broken line shows in connectionState instead.
    this.#channel.onclose = () => this.#over("vanished");
  }

  async #negotiate(peer) {
    this.#offered = true;
    const answer = await this.#http.offer(peer.localDescription.sdp);
    if (this.#closed) this.#http.hangUp(); // hung up while the server was taking the call
    this.#stopIfClosed();
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
    for (const candidate of this.#late.splice(0)) await this.#http.addCandidate(candidate);
  }

  #trickle(candidate) {
    if (this.#http.opened) this.#http.addCandidate(candidate);
    else this.#late.push(candidate);
  }

  #watch(peer) {
    return new Promise((resolve, reject) => {
      let wasConnected = false;
      const timer = setTimeout(() => reject(new CallFailed("media_unreachable")), CONNECT_MS + GATHER_MS);
      peer.onconnectionstatechange = () => {
        const state = peer.connectionState;
        clearTimeout(this.#lostTimer);
        if (state === "connected") {
          wasConnected = true;
          clearTimeout(timer);
          resolve();
          this.on.connection("connected");
        } else if (state === "disconnected" && wasConnected) {
          this.on.connection("unstable");
          this.#lostTimer = setTimeout(() => this.#over("connection_lost"), LOST_MS);
        } else if (state === "failed") {
          clearTimeout(timer);
          if (wasConnected) this.#over("connection_lost");
          else reject(new CallFailed("media_unreachable"));
        }
      };
    });
  }

  #over(code) {
    if (!this.#closed) this.on.over(code);
  }

  #stopIfClosed() {
    if (this.#closed) throw new CallFailed("hung_up");
  }
}

// An event is a JSON object with a type; anything else is noted and left alone.
function readEvent(data) {
  try {
    const event = JSON.parse(data);
    if (typeof event?.type === "string") return event;
  } catch {
    // said below
  }
  console.warn("not an event", data);
  return null;
}

function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") return resolve();
    const timer = setTimeout(resolve, GATHER_MS);
    peer.onicegatheringstatechange = () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    };
  });
}
