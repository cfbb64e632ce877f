// Notices that the computer slept or the page was frozen: the clock on the wall has moved on, our timer has not.
//
// Browsers slow the timers of hidden tabs down too, in steps of up to a minute. So a gap is a reason to look whether
// the call still stands, never a verdict: that is call.js's.

const TICK_MS = 1000;
const GAP_MS = 10_000;
const JUST_NOW_MS = 30_000; // until then a line that breaks is put down to the sleep

export class Wakes {
  #timer = 0;
  #lastMs = 0;
  #wokeMs = -Infinity;

  constructor(onWake) {
    this.onWake = onWake;
    document.addEventListener("resume", () => this.#woke()); // Chromium says so itself; elsewhere the gap tells
  }

  start() {
    this.stop();
    this.#lastMs = Date.now(); // not performance.now(): on some systems it stands still during sleep
    this.#wokeMs = -Infinity;
    this.#timer = setInterval(() => this.look(), TICK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  // Also to be called before judging anything else: on waking, a broken line may be told before our timer runs.
  look() {
    if (!this.#timer) return;
    const nowMs = Date.now();
    const gapMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (gapMs > GAP_MS) this.#woke();
  }

  get justNow() {
    this.look();
    return Date.now() - this.#wokeMs < JUST_NOW_MS;
  }

  #woke() {
    if (!this.#timer) return;
    this.#wokeMs = Date.now();
    this.onWake();
  }
}
