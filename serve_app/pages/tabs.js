// One live call a browser: tabs of this page tell each other when a call is live.
//
// Messages on the channel: { type: "who" | "live" | "over" | "yield", tab }. A browser without BroadcastChannel has no
// such check: each tab then calls for itself.

const ANSWER_MS = 1000;

export class Tabs {
  #channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("dukat.calls");
  #me = `${Date.now()}.${Math.random()}`; // crypto.randomUUID needs https
  #live = false;
  #others = new Set(); // tabs that have said that they are live
  #answered = null;

  // onYield(): another tab takes the call over.
  constructor(onYield) {
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }) => this.#hear(data, onYield);
    this.#tell("who");
  }

  set live(live) {
    if (live === this.#live) return;
    this.#live = live;
    this.#tell(live ? "live" : "over");
  }

  // Whether a call is live in another tab now.
  async elsewhere() {
    if (this.#others.size === 0) return false; // the usual case costs no time
    // A tab that has crashed has not said "over": ask again, and believe who answers.
    this.#others.clear();
    const answered = new Promise((resolve) => {
      this.#answered = resolve;
      setTimeout(resolve, ANSWER_MS);
    });
    this.#tell("who");
    await answered;
    return this.#others.size > 0;
  }

  // The call goes on here.
  takeOver() {
    this.#others.clear();
    this.#tell("yield");
  }

  #tell(type) {
    this.#channel?.postMessage({ type, tab: this.#me });
  }

  #hear({ type, tab }, onYield) {
    if (type === "who" && this.#live) this.#tell("live");
    else if (type === "live") {
      this.#others.add(tab);
      this.#answered?.();
    } else if (type === "over") this.#others.delete(tab);
    else if (type === "yield") {
      this.#others.delete(tab);
      if (this.#live) onYield();
    }
  }
}
