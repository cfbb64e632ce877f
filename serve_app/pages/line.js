// One call's line: microphone, WebRTC and the HTTP that sets it up. Knows nothing of the page.
//
// POST /v1/calls (offer → answer, Location); PATCH Location (late ICE candidates, RFC 8840); DELETE Location (hang up).
// Events of the server come as JSON on the data channel "events"; typed text goes the same way.

const GATHER_MS = 1000; // candidates that come later are sent after
const CONNECT_MS = 15000;
const LOST_MS = 10000; // ICE heals itself within a few seconds, or not at all

export class LineFailed extends Error {
  constructor(code, detail = "", status = 0) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.status = status;
  }
}

export class Line {
  #peer = null;
  #channel = null;
  #microphone = null;
  #location = null;
  #offered = false;
  #late = [];
  #closed = false;
  #lostTimer = 0;

  // token: for tenants that are not open.
  // on: { microphone(stream), sound(stream), connection(state), channel(), event(object), over(code) };
  // channel() = typed text can be sent; over("") = the server ended the call, over("connection_lost") = the line broke.
  constructor({ tenant, token, on }) {
    this.tenant = tenant;
    this.token = token;
    this.on = on;
  }

  // Resolves when sound can flow. Throws LineFailed.
  async open() {
    this.#microphone = await openMicrophone();
    this.#stopIfClosed();
    this.on.microphone(this.#microphone);
    const peer = (this.#peer = new RTCPeerConnection({ iceServers: [] }));
    for (const track of this.#microphone.getAudioTracks()) peer.addTrack(track, this.#microphone);
    peer.ontrack = ({ track }) => this.on.sound(new MediaStream([track]));
    peer.onicecandidate = ({ candidate }) => candidate?.candidate && this.#offered && this.#trickle(candidate);
    const connected = this.#watch(peer);
    connected.catch(() => {}); // it is awaited below; without this, a failure before that would be reported twice
    this.#openChannel(peer);
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    await this.#negotiate(peer);
    await connected;
  }

  // False when the channel is not open (any more).
  say(text) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify({ type: "caller.text", text }));
    return true;
  }

  // Hangs up. Safe to call at any time, also twice.
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#lostTimer);
    this.#microphone?.getTracks().forEach((track) => track.stop());
    this.#peer?.close();
    this.#delete();
  }

  #openChannel(peer) {
    this.#channel = peer.createDataChannel("events");
    this.#channel.onopen = () => !this.#closed && this.on.channel();
    this.#channel.onmessage = ({ data }) => !this.#closed && this.on.event(JSON.parse(data));
    // The channel is closed in order only when the other side hangs up; a broken line shows in connectionState instead.
    this.#channel.onclose = () => this.#over("");
  }

  async #negotiate(peer) {
    this.#offered = true;
    const query = new URLSearchParams({ tenant: this.tenant });
    const response = await this.#send("POST", `/v1/calls?${query}`, "application/sdp", peer.localDescription.sdp);
    if (response.status !== 201) throw await refusal(response);
    this.#location = new URL(response.headers.get("Location"), response.url);
    if (this.#closed) this.#delete(); // hung up while the server was taking the call
    this.#stopIfClosed();
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    const late = this.#late.splice(0);
    for (const candidate of late) await this.#trickle(candidate);
  }

  #watch(peer) {
    return new Promise((resolve, reject) => {
      let wasConnected = false;
      const timer = setTimeout(() => reject(new LineFailed("media_unreachable")), CONNECT_MS + GATHER_MS);
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
          else reject(new LineFailed("media_unreachable"));
        }
      };
    });
  }

  #over(code) {
    if (!this.#closed) this.on.over(code);
  }

  async #trickle(candidate) {
    if (!this.#location) {
      this.#late.push(candidate);
      return;
    }
    const fragment = `a=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n`;
    // Losing one late candidate is no reason to end a call that may already work by another.
    await this.#send("PATCH", this.#location, "application/trickle-ice-sdpfrag", fragment).catch(console.warn);
  }

  #delete() {
    if (!this.#location) return;
    // keepalive: this is also how a closing page hangs up. If it is lost, the server notices by the silence.
    fetch(this.#location, { method: "DELETE", headers: this.#headers(), keepalive: true }).catch(console.warn);
    this.#location = null;
  }

  async #send(method, address, type, body) {
    try {
      const signal = AbortSignal.timeout(CONNECT_MS);
      return await fetch(address, { method, headers: { ...this.#headers(), "Content-Type": type }, body, signal });
    } catch (error) {
      throw new LineFailed("server_unreachable", error.message);
    }
  }

  #headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  #stopIfClosed() {
    if (!this.#closed) return;
    this.#microphone?.getTracks().forEach((track) => track.stop());
    throw new LineFailed("hung_up");
  }
}

async function openMicrophone() {
  if (!navigator.mediaDevices) throw new LineFailed("mic_insecure");
  if (typeof RTCPeerConnection === "undefined") throw new LineFailed("webrtc_missing");
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const codes = { NotAllowedError: "mic_refused", SecurityError: "mic_refused", NotFoundError: "mic_missing" };
    throw new LineFailed(codes[error.name] ?? "mic_busy", error.message);
  }
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

async function refusal(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { detail: response.statusText }; // a proxy in between may answer with a page of its own
  }
  return new LineFailed(problem.code ?? `http_${response.status}`, problem.detail ?? "", response.status);
}
