// What follows a press on Call: a line, another one when it breaks, and the end. No DOM and no words in here.
//
//   dialling ──▶ live ──▶ over            over({ reason }) or over({ failure }); reason: a key of labels.reasons
//       ▲  │       │
//       │  ▼       ▼
//       waiting (counts down, dials again; at most five times, see redial.js)
//
// A connection that breaks is first replaced by another of the same call; only if that fails is a new call dialled.

import { CallFailed } from "./call_http.js";
import { Line } from "./line.js";
import { Redial } from "./redial.js";
import { Wakes } from "./wakes.js";

export class Call {
  #line = null;
  #over = false;
  #wasLive = false;
  #ticking = 0;
  #redial = new Redial();
  #wakes = new Wakes(() => this.#woke());

  // microphone: open already. It is closed with the call.
  // on: { dialling(), live(), again(), waiting({ cause, attempt, of, seconds }), event(object), sound(stream),
  //       connection(state), typing(allowed), over({ reason | failure }) }; again() = a new call after a broken one.
  constructor({ tenant, token, microphone, on }) {
    this.tenant = tenant;
    this.token = token;
    this.microphone = microphone;
    this.on = on;
  }

  start() {
    this.#wakes.start();
    this.#dial();
  }

  say(text) {
    return this.#line?.say(text) ?? false;
  }

  typing() {
    this.#line?.typing();
  }

  replaceTrack(track) {
    this.#line?.replaceTrack(track).catch(console.warn); // refused only by a line that is closing
  }

  // The computer has just been asleep: nothing may be opened by itself now.
  get justWoke() {
    return this.#wakes.justNow;
  }

  end(reason) {
    this.#finish({ reason });
  }

  // http: of a call that goes on over another connection.
  async #dial(http = null) {
    this.on.dialling();
    let up = false;
    const line = new Line({
      http,
      tenant: this.tenant,
      token: this.token,
      on: {
        event: (event) => this.#line === line && this.#hear(event),
        connection: (state) => this.on.connection(state),
        sound: (stream) => this.on.sound(stream),
        channel: () => {
          if (this.#wasLive && !http) this.on.again();
          this.on.typing(true);
          up = this.#wasLive = true;
        },
        // Before it is up, open() itself says what is wrong.
        over: (code) => up && this.#line === line && this.#broken(line, code),
      },
    });
    this.#line = line;
    try {
      await line.open(this.microphone.track);
      up = true;
      if (this.#line === line) this.on.live();
    } catch (error) {
      if (this.#line !== line) return; // hung up, or broken and dealt with, meanwhile
      line.close();
      this.#failed(http ? new CallFailed("connection_lost") : CallFailed.from(error));
    }
  }

  #hear(event) {
    if (event.type === "transcript.final" && event.text) this.#redial.callerIsThere();
    if (event.type === "call.state" && event.state === "ended") this.#ended(event.reason);
    else this.on.event(event);
  }

  #ended(reason) {
    if (reason === "connection_lost") this.#lost();
    else this.#finish({ reason });
  }

  // The line is gone without a word on it. The last event of a call can be lost with its line, so the server is asked
  // what it was: a goodbye must not be taken for a fault, and dialled again.
  async #broken(line, code) {
    this.on.typing(false);
    const known = code === "vanished" && !this.justWoke ? await line.state() : null;
    if (this.#line !== line) return;
    if (known?.ended && known.reason) this.#ended(known.reason);
    else this.#lost({ mayGoOn: code === "connection_lost" });
  }

  #lost({ mayGoOn = false } = {}) {
    const line = this.#line;
    if (this.justWoke) return this.#finish({ reason: "asleep" });
    if (mayGoOn) return this.#dial(line.release());
    line?.close();
    this.#failed(new CallFailed("connection_lost"));
  }

  #failed(failure) {
    this.#line = null;
    if (this.#over) return;
    this.on.typing(false);
    const plan = this.#redial.after(failure);
    if (plan) this.#wait(plan);
    else this.#finish({ failure });
  }

  #wait(plan) {
    let { seconds } = plan;
    this.on.waiting({ ...plan, seconds });
    this.#ticking = setInterval(() => {
      if (this.justWoke) return; // #woke has ended it
      seconds -= 1;
      if (seconds > 0) return this.on.waiting({ ...plan, seconds });
      clearInterval(this.#ticking);
      this.#ticking = 0;
      this.#dial();
    }, 1000);
  }

  async #woke() {
    const line = this.#line;
    if (!line) return this.#finish({ reason: "asleep" }); // it was waiting to dial
    const known = await line.state();
    // It may also stand: a short sleep, or a hidden tab whose timers were slowed. And if nobody can be asked yet, the
    // line itself will tell (see #lost).
    if (this.#line === line && (known?.ended || line.broken)) this.#finish({ reason: "asleep" });
  }

  #finish(outcome) {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#ticking);
    this.#wakes.stop();
    this.#line?.close();
    this.#line = null;
    this.microphone.close();
    this.on.over(outcome);
  }
}
