// How loud the caller and the agent are, drawn as a ring around the button and as a breathing dot.

const FLOOR_DBFS = -55;
const TOP_DBFS = -15;

export class Levels {
  #context = null;
  #meters = [];

  // Call from a click: browsers start audio contexts only then.
  start() {
    this.#context = new AudioContext();
    requestAnimationFrame(() => this.#draw());
  }

  follow(stream, target) {
    const analyser = new AnalyserNode(this.#context, { fftSize: 1024 });
    this.#context.createMediaStreamSource(stream).connect(analyser);
    this.#meters.push({ analyser, target, samples: new Float32Array(analyser.fftSize) });
  }

  stop() {
    for (const { target } of this.#meters) target.style.removeProperty("--level");
    this.#meters = [];
    this.#context?.close();
    this.#context = null;
  }

  #draw() {
    if (!this.#context) return;
    for (const { analyser, target, samples } of this.#meters) {
      analyser.getFloatTimeDomainData(samples);
      target.style.setProperty("--level", level(samples).toFixed(2));
    }
    requestAnimationFrame(() => this.#draw());
  }
}

// Loudness of the samples, from 0 (silence) to 1.
function level(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const dbfs = 10 * Math.log10(power + 1e-10);
  return Math.min(1, Math.max(0, (dbfs - FLOOR_DBFS) / (TOP_DBFS - FLOOR_DBFS)));
}
