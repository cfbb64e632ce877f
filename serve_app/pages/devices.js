// Which microphone and which speaker: two lists, the choice remembered. Opening a microphone is microphone.js.

import { labels } from "./labels.js";
import { NONE } from "./microphone.js";
import { remember, remembered } from "./remembered.js";

const NO_CHOICE = new Set(["", "default", "communications"]); // aliases of other devices; "" before permission

export class Devices {
  #microphones;
  #speakers;
  #speakerRow;
  #later;
  #sound;

  // microphones, speakers: <select>; speakerRow: what is hidden where speakers cannot be chosen; later: the line that
  // says that names come later; sound: the <audio> the speaker is for.
  // on: { microphone(device), note(code) }.
  constructor({ microphones, speakers, speakerRow, later, sound, on }) {
    this.#microphones = microphones;
    this.#speakers = speakers;
    this.#speakerRow = speakerRow;
    this.#later = later;
    this.#sound = sound;
    this.on = on;
    microphones.addEventListener("change", () => {
      remember("microphone", microphones.value);
      on.microphone(microphones.value);
    });
    speakers.addEventListener("change", () => {
      remember("speaker", speakers.value);
      this.useSpeaker();
    });
    // Not in insecure contexts, where mediaDevices is missing.
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.refresh());
  }

  // May name a device that is gone: opening it falls back, and says so.
  get microphone() {
    return remembered("microphone");
  }

  // What is there now. Call again once the microphone is allowed: before that, browsers give neither names nor ids.
  async refresh() {
    let found = [];
    try {
      found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    } catch (error) {
      console.warn(error); // a policy forbids it: the standard devices remain
    }
    const [inputs, outputs] = ["audioinput", "audiooutput"].map((kind) => found.filter((each) => each.kind === kind));
    fill(this.#microphones, "microphone", inputs, [NONE, labels.noMicrophone]);
    fill(this.#speakers, "speaker", outputs);
    this.#speakerRow.hidden = !("setSinkId" in this.#sound) || named(outputs).length === 0;
    this.#later.hidden = named(inputs).length > 0;
  }

  // Where the browser cannot choose (no setSinkId) the system's own choice is used.
  async useSpeaker() {
    const device = remembered("speaker");
    if (!this.#sound.setSinkId || (this.#sound.sinkId ?? "") === device) return;
    try {
      await this.#sound.setSinkId(device);
    } catch (error) {
      console.warn(error);
      this.on.note("speaker_gone");
      this.#speakers.value = "";
    }
  }
}

function named(devices) {
  return devices.filter(({ deviceId }) => !NO_CHOICE.has(deviceId));
}

function fill(select, kind, devices, ...more) {
  const choices = named(devices).map(({ deviceId, label }, n) => [deviceId, label || labels.numbered[kind](n + 1)]);
  const options = [["", labels.standardDevice], ...choices, ...more].map(([value, text]) => new Option(text, value));
  select.replaceChildren(...options);
  select.value = remembered(kind);
  if (select.selectedIndex < 0) select.value = ""; // gone, or not to be known yet
}
