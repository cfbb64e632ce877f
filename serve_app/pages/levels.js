// How loud the caller and the agent are: drawn as a meter, a ring and a breathing dot. Also: whether a microphone that
// should be heard gives nothing at all.

const FLOOR_DBFS = -55; // quieter is room noise, after the browser's own noise suppression
const TOP_DBFS = -15;
const SILENT_MS = 6000;
const LOOK_MS = 100;
const TELL_EVERY = 10; // looks: the meter's number changes once a second, for those who have it read to them

export class Levels {
  #context = null;
  #caller = null; // { analyser, source, samples }
  #agent = null;
  #timer = 0;
  #looks = 0;
  #silentMs = 0;
  #everHeard = false;

  // meter: role="meter"; rings: elements whose --level follows the caller; dot: the agent's.
  // on: { listening() → whether the caller is being listened to now, silent(bool) }.
  constructor({ meter, rings, dot, on }) {
    this.meter = meter;
    this.rings = [meter, ...rings];
    this.dot = dot;
    this.on = on;
  }

  // Call from a click: browsers start audio contexts only then.
  start() {
    this.#context = new AudioContext();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    requestAnimationFrame(() => this.#draw());
  }

  // The caller's microphone, also another one later.
  followCaller(stream) {
    this.#caller?.source.disconnect();
    this.#caller = this.#listenTo(stream);
    this.#everHeard = false;
    this.#silentMs = 0;
    this.on.silent(false);
  }

  followAgent(stream) {
    this.#agent?.source.disconnect();
    this.#agent = this.#listenTo(stream);
  }

  stop() {
    clearInterval(this.#timer);
    for (const each of [...this.rings, this.dot]) each.style.removeProperty("--level");
    this.meter.setAttribute("aria-valuenow", "0");
    this.#caller = this.#agent = null;
    this.#context?.close();
    this.#context = null;
  }

  #listenTo(stream) {
    if (!this.#context) return null;
    const analyser = new AnalyserNode(this.#context, { fftSize: 2048 });
    const source = this.#context.createMediaStreamSource(stream);
    source.connect(analyser);
    return { analyser, source, samples: new Float32Array(analyser.fftSize) };
  }

  #draw() {
    if (!this.#context) return;
    const level = levelOf(this.#caller).toFixed(2);
    for (const each of this.rings) each.style.setProperty("--level", level);
    this.dot.style.setProperty("--level", levelOf(this.#agent).toFixed(2));
    requestAnimationFrame(() => this.#draw());
  }

  #look() {
    const level = levelOf(this.#caller);
    if (this.#looks++ % TELL_EVERY === 0) this.meter.setAttribute("aria-valuenow", String(Math.round(level * 100)));
    if (level > 0) {
      this.#everHeard = true;
      this.on.silent(false);
    }
    // A microphone that was heard once works: then it is the caller who is silent, and may be.
    if (this.#everHeard || !this.on.listening()) return;
    this.#silentMs += LOOK_MS;
    if (this.#silentMs >= SILENT_MS) this.on.silent(true);
  }
}

// From 0 (nothing above room noise) to 1.
function levelOf(followed) {
  if (!followed) return 0;
  followed.analyser.getFloatTimeDomainData(followed.samples);
  const power = followed.samples.reduce((sum, sample) => sum + sample * sample, 0) / followed.samples.length;
  const dbfs = 10 * Math.log10(power + 1e-10);
  return Math.min(1, Math.max(0, (dbfs - FLOOR_DBFS) / (TOP_DBFS - FLOOR_DBFS)));
}
