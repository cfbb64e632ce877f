// Stands in for the browser's microphones and speakers in tests of the page. Each microphone is a tone of its own, so
// that the other end can hear which one is in use. `devices` is the tests' hand on it.

const devices = (window.devices = {
  allowed: false, // as in browsers: no names and no ids before the first permission
  microphones: { desk: 440, headset: 880 }, // id → Hz; 0 Hz = silent
  speakers: ["room", "phones"],
  opened: [], // { id, audio, track }
  unplug(id) {
    delete devices.microphones[id];
    for (const each of devices.opened.filter((one) => one.id === id)) {
      each.track.stop();
      each.track.dispatchEvent(new Event("ended"));
    }
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
  },
  plug(id, hz) {
    devices.microphones[id] = hz;
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
  },
});

navigator.mediaDevices.enumerateDevices = async () => {
  const name = (kind, deviceId) => ({ kind, deviceId, label: `The ${deviceId}` });
  if (!devices.allowed) return [{ kind: "audioinput", deviceId: "", label: "" }];
  return [
    name("audioinput", "default"),
    ...Object.keys(devices.microphones).map((id) => name("audioinput", id)),
    name("audiooutput", "default"),
    ...devices.speakers.map((id) => name("audiooutput", id)),
  ];
};

navigator.mediaDevices.getUserMedia = async ({ audio }) => {
  const id = audio.deviceId?.exact ?? Object.keys(devices.microphones)[0];
  if (id === undefined) throw new DOMException("none", "NotFoundError");
  if (!(id in devices.microphones)) throw new DOMException("gone", "OverconstrainedError");
  devices.allowed = true;
  const context = new AudioContext();
  const tone = new OscillatorNode(context, { frequency: devices.microphones[id] });
  const loudness = new GainNode(context, { gain: devices.microphones[id] ? 0.03 : 0 });
  const destination = context.createMediaStreamDestination();
  tone.connect(loudness).connect(destination);
  tone.start();
  const [track] = destination.stream.getAudioTracks();
  devices.opened.push({ id, audio, track });
  return destination.stream;
};
