// Whether and when to dial again by itself. No clock in here: what went wrong goes in, how long to wait comes out.

const BACKOFF_S = [1, 2, 4, 8, 16]; // 31 s and what the tries take: a product that is restarted is there again
const LONGEST_S = 10; // a server that asks for more is told about to the caller instead

export class Redial {
  #used = 0;

  // The caller was understood in this call: somebody is there, so a later break has all its tries again. Without that
  // proof a line that breaks at once, each time, would be dialled for ever.
  callerIsThere() {
    this.#used = 0;
  }

  // failure: { code, status, retryAfterS }. Gives { cause, attempt, of, seconds }, or null: leave it.
  after({ code, status = 0, retryAfterS = null }) {
    const cause = causeOf(code, status);
    if (!cause || this.#used >= BACKOFF_S.length) return null;
    const backoffS = BACKOFF_S[this.#used];
    this.#used += 1;
    const seconds = Math.max(backoffS, Math.min(retryAfterS ?? 0, LONGEST_S));
    return { cause, attempt: this.#used, of: BACKOFF_S.length, seconds };
  }
}

// "lost", "starting", "busy" (keys of labels.causes), or null for what no second try can mend.
export function causeOf(code, status) {
  if (code === "connection_lost") return "lost";
  // route_unknown: the control plane is up already, the media plane that serves /v1/calls is not yet.
  if (["server_unreachable", "route_unknown", "warming_up", "not_ready", "host_draining"].includes(code)) return "starting";
  if ([502, 504].includes(status)) return "starting";
  if (status === 503) return code === "http_503" ? "starting" : "busy"; // without a code it was a proxy that spoke
  return status === 429 ? "busy" : null;
}
