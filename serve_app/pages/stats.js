// What this browser hears of the agent, told to the server every two seconds; the server rates the line by it.

const EVERY_MS = 2000;

// send(message); returns a function that stops it.
export function reportStats(peer, send) {
  let before = null;
  const timer = setInterval(async () => {
    let now;
    try {
      now = heard(await peer.getStats());
    } catch (error) {
      console.warn(error); // a connection that is closing
      return;
    }
    if (now) send({ type: "caller.stats", ...told(before, now) });
    before = now;
  }, EVERY_MS);
  return () => clearInterval(timer);
}

// Browsers differ in what they count: what is missing is not sent.
function heard(stats) {
  let inbound = null;
  let pair = null;
  for (const each of stats.values()) {
    if (each.type === "inbound-rtp" && each.kind === "audio") inbound = each;
    if (each.type === "candidate-pair" && each.nominated && each.state === "succeeded") pair = each;
  }
  return inbound && { ...inbound, rttS: pair?.currentRoundTripTime };
}

function told(before, now) {
  const since = (name) => (now[name] ?? 0) - (before?.[name] ?? 0);
  const [lost, came] = [since("packetsLost"), since("packetsReceived")];
  const [waitedS, played] = [since("jitterBufferDelay"), since("jitterBufferEmittedCount")];
  return {
    rtt_ms: inMs(now.rttS),
    jitter_ms: inMs(now.jitter),
    loss_percent: lost + came > 0 ? (100 * Math.max(0, lost)) / (lost + came) : undefined,
    concealed_samples: now.concealedSamples,
    jitter_buffer_ms: played > 0 ? inMs(waitedS / played) : undefined,
  };
}

function inMs(seconds) {
  return seconds === undefined ? undefined : seconds * 1000;
}
