// The caller's voice and the agent's, as controls: which devices, how loud, muted or not, and what is to be said of them.

import { Devices } from "./devices.js";
import { labels } from "./labels.js";
import { Levels } from "./levels.js";
import { Microphone } from "./microphone.js";

const byId = (id) => document.getElementById(id);

export class Voice {
  #mute = byId("mute");
  #hint = byId("hint");
  #sound = byId("agent");
  #levels;
  #devices;
  #microphone = null; // open or being opened

  // on: { replaced(track), mayReopen() → whether a lost microphone may be opened again now, listening() → whether the
  // agent listens now, soundBlocked(), soundFree() }.
  constructor(on) {
    this.on = on;
    this.#levels = new Levels({
      meter: byId("meter"),
      rings: [byId("call")],
      dot: byId("state"),
      on: {
        listening: () => on.listening() && this.#microphone?.stream && !this.writing && !this.#microphone.muted,
        silent: (silent) => (silent ? this.note("silent") : this.#hint.dataset.code === "silent" && this.note("")),
      },
    });
    this.#devices = new Devices({
      microphones: byId("microphones"),
      speakers: byId("speakers"),
      speakerRow: byId("speaker-row"),
      later: byId("names-later"),
      sound: this.#sound,
      on: { microphone: (device) => this.#change(device), note: (code) => this.note(code) },
    });
    this.#devices.refresh();
    this.#mute.addEventListener("click", () => {
      if (!this.#microphone?.stream) return;
      this.#microphone.muted = !this.#microphone.muted;
      this.#show();
    });
  }

  // The remembered choice.
  get chosen() {
    return this.#devices.microphone;
  }

  // No microphone in use: the caller writes.
  get writing() {
    return this.#microphone?.silent ?? false;
  }

  // Call from a click. Throws CallFailed. device as in microphone.js.
  async open(device) {
    const mine = (this.#microphone = new Microphone({
      replaced: (track, stream) => this.#replaced(track, stream),
      note: (code) => this.note(code),
      mayReopen: this.on.mayReopen,
    }));
    this.note("");
    this.#levels.start();
    await mine.open(device);
    this.#use(mine.stream);
    return mine;
  }

  // Also while it is being opened.
  close() {
    this.#microphone?.close();
    this.#microphone = null;
    this.#levels.stop();
    this.#sound.srcObject = null;
    this.note("");
    this.#show();
  }

  play(stream) {
    this.#sound.srcObject = stream;
    this.#levels.followAgent(stream);
    this.#devices.useSpeaker();
    this.#sound.play().catch((error) => {
      if (error.name !== "NotAllowedError") return; // a newer sound replaced this one
      this.on.soundBlocked();
      addEventListener("pointerdown", () => this.#sound.play().then(this.on.soundFree), { once: true });
    });
  }

  // A quiet word about microphone or speaker; code: a key of labels.hints, "" for none.
  note(code) {
    if (this.#hint.dataset.code === code) return;
    this.#hint.dataset.code = code;
    this.#hint.textContent = code ? labels.hints[code] : "";
  }

  async #change(device) {
    this.note("");
    if (this.#microphone?.stream) await this.#microphone.change(device);
  }

  #replaced(track, stream) {
    this.on.replaced(track);
    this.#use(stream);
  }

  #use(stream) {
    this.#levels.followCaller(stream);
    this.#show();
    this.#devices.refresh(); // the names are known now
  }

  #show() {
    document.body.classList.toggle("writing", this.writing);
    this.#mute.setAttribute("aria-pressed", String(this.#microphone?.muted ?? false));
    byId("text").placeholder = this.writing ? labels.typeNow : labels.type;
  }
}
