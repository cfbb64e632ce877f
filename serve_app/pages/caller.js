// The caller's page: one button, the state of the call, the conversation. The line itself is in line.js.
//
// Address: /?tenant=demo&lang=ar#token=… (what follows # never leaves the browser except as the Authorization header).

import { Conversation } from "./conversation.js";
import { inWords, labels } from "./labels.js";
import { Levels } from "./levels.js";
import { Line, LineFailed } from "./line.js";

const byId = (id) => document.getElementById(id);
const [button, state, connection, notice, sound] = ["call", "state", "connection", "notice", "agent"].map(byId);
const conversation = new Conversation({
  list: byId("conversation"),
  interim: byId("interim"),
  scroller: byId("scroller"),
});
const levels = new Levels();
const tenant = new URLSearchParams(location.search).get("tenant") ?? "demo";
const token = new URLSearchParams(location.hash.slice(1)).get("token");

let line = null; // the call under way
let clockTimer = 0;

const handlers = {
  "call.state": (event) => (event.state === "ended" ? finish(labels.reasons[event.reason] ?? "") : show(event.state)),
  "transcript.interim": (event) => conversation.showInterim(event),
  "transcript.final": (event) => conversation.showFinal(event),
  "agent.text": (event) => conversation.showReply(event),
  "agent.heard": (event) => conversation.showHeard(event),
  "turn.ledger": (event) => conversation.showLedger(event),
  error: (event) => tell(labels.errors[event.code] ?? `${labels.errors.in_call} (${event.detail ?? event.code})`),
};

async function call() {
  const mine = new Line({
    tenant,
    token,
    on: {
      event: (event) => handlers[event.type]?.(event),
      connection: (now) => (connection.textContent = labels.connections[now]),
      microphone: (stream) => {
        show("connecting");
        levels.follow(stream, button);
      },
      sound: play,
      channel: () => allowTyping(true),
      over: (code) => finish(code ? inWords(code) : ""),
    },
  });
  line = mine;
  conversation.clear();
  tell("");
  levels.start();
  setPhase("live");
  show("microphone");
  try {
    await mine.open();
    if (line === mine) startClock();
  } catch (error) {
    if (line !== mine) return; // hung up meanwhile
    if (!(error instanceof LineFailed)) console.error(error);
    finish(inWords(error.code, error.detail ?? error.message, error.status));
  }
}

function finish(words) {
  if (!line) return;
  line.close();
  line = null;
  levels.stop();
  clearInterval(clockTimer);
  sound.srcObject = null;
  connection.textContent = "";
  conversation.showInterim({ text: "" });
  setPhase("idle");
  show("ended");
  if (words) tell(words);
}

function play(stream) {
  sound.srcObject = stream;
  levels.follow(stream, state);
  sound.play().catch((error) => {
    if (error.name !== "NotAllowedError") return; // a newer sound replaced this one
    tell(labels.errors.sound_blocked);
    addEventListener("pointerdown", () => sound.play().then(() => tell("")), { once: true });
  });
}

function show(name) {
  state.dataset.state = name;
  state.textContent = labels.states[name] ?? name;
}

function tell(words) {
  notice.textContent = words;
  notice.hidden = !words;
}

function setPhase(phase) {
  document.body.dataset.phase = phase;
  button.textContent = phase === "live" ? labels.hangUp : labels.call;
  if (phase === "idle") allowTyping(false);
}

function allowTyping(allowed) {
  for (const field of byId("typed").elements) field.disabled = !allowed;
}

function startClock() {
  const began = performance.now();
  const tick = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    byId("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  tick();
  clockTimer = setInterval(tick, 1000);
}

function translate() {
  for (const each of document.querySelectorAll("[data-label]")) each.textContent = labels[each.dataset.label];
  for (const each of document.querySelectorAll("[data-label-placeholder]")) {
    each.placeholder = labels[each.dataset.labelPlaceholder];
  }
  for (const each of document.querySelectorAll("[data-label-aria]")) {
    each.setAttribute("aria-label", labels[each.dataset.labelAria]);
  }
}

// Which engines answer is said openly: embedded and emulated ones are not what a production system sounds like.
async function showEngines() {
  try {
    const { profile, engines } = await (await fetch("/healthz")).json();
    const natures = new Set(Object.values(engines).map(({ nature }) => nature));
    const told = ["emulated", "embedded", "model"].filter((nature) => natures.has(nature));
    byId("engines").textContent = [`${labels.profile}: ${profile}`, ...told.map((n) => labels.natures[n])].join(" · ");
  } catch (error) {
    console.warn(error);
    tell(labels.errors.server_unreachable);
  }
}

button.addEventListener("click", () => (line ? finish("") : call()));
byId("typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text && line?.say(text)) byId("text").value = "";
});
addEventListener("pagehide", () => finish(""));

translate();
show("idle");
showEngines();
