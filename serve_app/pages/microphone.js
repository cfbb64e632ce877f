// The caller's microphone: opened, changed, muted, lost. Or silence in its place, for a caller who writes.
//
// It outlives a single line: when the page dials again, the browser need not be asked for permission again.

import { CallFailed } from "./call_http.js";

export const NONE = "none"; // chosen instead of a device

const CODES = { NotAllowedError: "mic_refused", SecurityError: "mic_refused", NotFoundError: "mic_missing" };

export class Microphone {
  #stream = null;
  #silence = null; // the audio context that makes it
  #closed = false;
  #muted = false;

  // on: { replaced(track, stream), note(code), mayReopen() → whether a lost microphone may be opened again now };
  // note's codes are the keys of labels.hints.
  constructor(on) {
    this.on = on;
  }

  get stream() {
    return this.#stream;
  }

  get track() {
    return this.#stream.getAudioTracks()[0];
  }

  get silent() {
    return this.#silence !== null;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.track.enabled = !muted;
  }

  // device: its id, "" for the standard one, NONE for silence. Throws CallFailed.
  async open(device) {
    let opened;
    try {
      opened = device === NONE ? { stream: this.#silent() } : await openDevice(device);
    } catch (error) {
      throw this.#closed ? new CallFailed("hung_up") : error;
    }
    if (this.#closed) {
      stopAll(opened.stream);
      throw new CallFailed("hung_up");
    }
    this.#take(opened.stream);
    if (opened.standard) this.on.note("mic_forgotten");
  }

  // During the call. The old microphone stays when the new one cannot be opened.
  async change(device) {
    if (device === NONE) return this.#fallSilent();
    try {
      const { stream, standard } = await openDevice(device);
      this.#replace(stream);
      if (standard) this.on.note("mic_forgotten");
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      this.on.note("mic_change_failed");
    }
  }

  close() {
    this.#closed = true;
    stopAll(this.#stream);
    this.#endSilence();
  }

  #take(stream) {
    stopAll(this.#stream);
    this.#stream = stream;
    const { track } = this;
    track.enabled = !this.#muted;
    track.onended = () => this.#unplugged(track); // not for our own stop(): that gives no event
  }

  #replace(stream) {
    if (this.#closed) return stopAll(stream);
    this.#endSilence();
    this.#take(stream);
    this.on.replaced(this.track, stream);
  }

  #fallSilent() {
    this.#take(this.#silent());
    this.on.replaced(this.track, this.#stream);
  }

  async #unplugged(track) {
    if (this.#closed || track !== this.track || !this.on.mayReopen()) return;
    try {
      this.#replace((await openDevice("")).stream);
      if (!this.#closed) this.on.note("mic_unplugged");
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      if (this.#closed) return;
      this.#fallSilent();
      this.on.note("mic_lost");
    }
  }

  // A track must be in the offer, and a call without packets looks dead: so silence is sent, not nothing.
  #silent() {
    const context = new AudioContext();
    const nothing = new ConstantSourceNode(context, { offset: 0 });
    const destination = context.createMediaStreamDestination();
    nothing.connect(destination); // some browsers send nothing at all from a destination without a source
    nothing.start();
    this.#endSilence();
    this.#silence = context;
    return destination.stream;
  }

  #endSilence() {
    this.#silence?.close();
    this.#silence = null;
  }
}

// { stream, standard }; standard = the asked device is gone and this is another. Throws CallFailed.
async function openDevice(device) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CallFailed("mic_insecure");
  const cleaning = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const get = (more) => navigator.mediaDevices.getUserMedia({ audio: { ...cleaning, ...more } });
  try {
    if (!device) return { stream: await get({}), standard: false };
    try {
      return { stream: await get({ deviceId: { exact: device } }), standard: false };
    } catch (error) {
      if (!["OverconstrainedError", "NotFoundError"].includes(error.name)) throw error;
      return { stream: await get({}), standard: true };
    }
  } catch (error) {
    throw new CallFailed(CODES[error.name] ?? "mic_busy", error.message);
  }
}

function stopAll(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
