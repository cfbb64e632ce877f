// The HTTP that sets a call up and ends it; no WebRTC here.
//
// POST /v1/calls (offer → answer, Location); PATCH Location (late ICE candidates, RFC 8840, or another offer for the same
// call); GET Location (state); DELETE Location (hang up). Whatever goes wrong is a CallFailed with the interface's stable code.

const ANSWER_MS = 15000;
const STATE_MS = 3000;

export class CallFailed extends Error {
  // retryAfterS: what the server asked us to wait; null when it did not say.
  constructor(code, detail = "", status = 0, retryAfterS = null) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.status = status;
    this.retryAfterS = retryAfterS;
  }

  // Whatever was thrown. A browser's own exceptions have codes too, but numbers.
  static from(error) {
    if (error instanceof CallFailed) return error;
    console.error(error);
    return new CallFailed("unknown", error.message);
  }
}

export class CallHttp {
  #location = null;

  constructor({ tenant, token }) {
    this.tenant = tenant;
    this.token = token;
  }

  get opened() {
    return this.#location !== null;
  }

  // The answer to an SDP offer; one for a call that is there moves it to another connection. Throws CallFailed.
  async offer(sdp) {
    if (this.#location) {
      const moved = await this.#send("PATCH", this.#location, ANSWER_MS, "application/sdp", sdp);
      if (moved.status !== 200) throw await refusal(moved);
      return moved.text();
    }
    const query = new URLSearchParams({ tenant: this.tenant, lang: document.documentElement.lang });
    const response = await this.#send("POST", `/v1/calls?${query}`, ANSWER_MS, "application/sdp", sdp);
    if (response.status !== 201) throw await refusal(response);
    this.#location = new URL(response.headers.get("Location"), response.url);
    return response.text();
  }

  async addCandidate({ sdpMid, candidate }) {
    if (!this.#location) return; // hung up meanwhile
    const fragment = `a=mid:${sdpMid}\r\na=${candidate}\r\n`;
    // Losing one late candidate is no reason to end a call that may already work by another.
    await this.#send("PATCH", this.#location, ANSWER_MS, "application/trickle-ice-sdpfrag", fragment).catch(console.warn);
  }

  // { ended: bool, reason } as the server sees the call; null when it cannot be asked.
  async state() {
    if (!this.#location) return null;
    try {
      const response = await this.#send("GET", this.#location, STATE_MS);
      if (response.status === 404 || response.status === 410) return { ended: true, reason: "" };
      if (!response.ok) return null;
      const { state, reason } = await response.json();
      return { ended: state === "ended", reason: reason ?? "" };
    } catch (error) {
      console.warn(error);
      return null;
    }
  }

  hangUp() {
    if (!this.#location) return;
    // keepalive: this is also how a closing page hangs up. If it is lost, the server notices by the silence.
    fetch(this.#location, { method: "DELETE", headers: this.#headers(), keepalive: true }).catch(console.warn);
    this.#location = null;
  }

  async #send(method, address, patienceMs, type, body) {
    const giveUp = new AbortController(); // AbortSignal.timeout is younger than some browsers in use
    const timer = setTimeout(() => giveUp.abort(), patienceMs);
    const headers = type ? { ...this.#headers(), "Content-Type": type } : this.#headers();
    try {
      return await fetch(address, { method, headers, body, signal: giveUp.signal });
    } catch (error) {
      throw new CallFailed("server_unreachable", error.message);
    } finally {
      clearTimeout(timer);
    }
  }

  #headers() {
    return bearer(this.token);
  }
}

// token: for tenants that are not open.
export function bearer(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function refusal(response) {
  let problem = null;
  try {
    problem = await response.json();
  } catch {
    // a proxy in between may answer with a page of its own
  }
  const waitS = Number.parseInt(response.headers.get("Retry-After"), 10); // its other form, a date, is not ours
  return new CallFailed(
    problem?.code ?? `http_${response.status}`,
    problem?.detail ?? response.statusText,
    response.status,
    Number.isFinite(waitS) && waitS >= 0 ? waitS : null,
  );
}
