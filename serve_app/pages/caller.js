// The caller's page: its controls, and what they do. What a call does by itself is in call.js.
//
// Address: /?tenant=demo&lang=ar#token=… (what follows # never leaves the browser except as the Authorization header).

import { engines, hasNoDocuments } from "./about.js";
import { Call } from "./call.js";
import { CallFailed } from "./call_http.js";
import { Conversation } from "./conversation.js";
import { Follow } from "./follow.js";
import { inWords, labels, translate, wordFor } from "./labels.js";
import { NONE } from "./microphone.js";
import { Notice } from "./notice.js";
import { Tabs } from "./tabs.js";
import { fitAboveKeyboard } from "./viewport.js";
import { Voice } from "./voice.js";

const TYPING_EVERY_MS = 2000; // so often the server is told that somebody is writing, or reading

const byId = (id) => document.getElementById(id);
const [button, state, connection, text, settings] = ["call", "state", "connection", "text", "settings"].map(byId);
const tenant = new URLSearchParams(location.search).get("tenant") ?? "demo";
const token = new URLSearchParams(location.hash.slice(1)).get("token");

translate();
const notice = new Notice(byId("notice"));
const conversation = new Conversation({ list: byId("conversation"), interim: byId("interim"), announcer: byId("announcer") });
const follow = new Follow({
  scroller: byId("scroller"),
  content: [byId("conversation"), byId("interim")],
  button: byId("newest"),
});
const voice = new Voice({
  replaced: (track) => call?.replaceTrack(track),
  mayReopen,
  listening: () => state.dataset.state === "listening",
  soundBlocked: () => notice.tell(labels.errors.sound_blocked),
  soundFree: () => notice.clear(),
});
const tabs = new Tabs(() => end("elsewhere"));

let phase = "idle"; // "live": from the press on Call to the end; "waiting": to dial again
let call = null; // from the moment the microphone is open
let connected = false; // the call has been, or was, up
let troubled = false; // the notice tells of something that went wrong in the call
let poorTold = false; // the notice has told of a poor line
let clockTimer = 0;
let putAway = false;

const handlers = {
  "call.state": (event) => wordFor(labels.states, event.state) && show(event.state),
  "transcript.interim": (event) => conversation.showInterim(event),
  "transcript.final": (event) => {
    conversation.showFinal(event);
    if (troubled) notice.clear(); // the call did go on
    troubled = false;
  },
  "agent.text": (event) => conversation.showReply(event),
  "agent.heard": (event) => conversation.showHeard(event),
  "turn.ledger": (event) => conversation.showLedger(event),
  quality: ({ mos, alarm }) => {
    if (typeof mos === "number") connection.textContent = `${labels.connections.connected} · ${labels.line(mos)}`;
    if (alarm && !poorTold) notice.tell(labels.poorLine);
    poorTold = alarm === true;
  },
  error: ({ code, detail }) => {
    if (code === "turn_abandoned") return; // the caller has just said something else
    notice.tell(wordFor(labels.errors, code) ?? `${labels.errors.in_call} (${detail ?? code})`);
    troubled = true;
  },
};

// ------------------------------------------------------------ a call

async function press(device = voice.chosen) {
  if (phase !== "idle") return end("cancelled"); // the button reads Hang up or Cancel
  if (!(await tabs.elsewhere())) return begin(device);
  const takeOver = () => {
    tabs.takeOver();
    begin(device);
  };
  const leave = () => {
    notice.clear();
    button.focus();
  };
  const actions = [{ label: labels.continueHere, run: takeOver }, { label: labels.leaveIt, run: leave }];
  notice.tell(labels.elsewhereAsk, { actions });
  notice.focus();
}

async function begin(device) {
  if (phase !== "idle") return; // pressed twice
  conversation.clear();
  notice.clear();
  tabs.live = true;
  connected = troubled = false;
  setPhase("live");
  show("microphone");
  button.focus(); // it may have been a button of the notice that was pressed, and that is gone
  let opened;
  try {
    opened = await voice.open(device);
  } catch (error) {
    if (error.code !== "hung_up") over({ failure: CallFailed.from(error) });
    return;
  }
  call = new Call({ tenant, token, microphone: opened, on: callEvents });
  call.start();
}

function end(reason) {
  if (call) call.end(reason);
  else if (phase !== "idle") over({ reason }); // still waiting for the microphone
}

const callEvents = {
  dialling: () => {
    notice.clear();
    setPhase("live");
    show("connecting");
  },
  live: () => {
    connected = true;
    startClock();
  },
  again: () => conversation.divide(),
  event: hear,
  connection: (now) => (connection.textContent = labels.connections[now]),
  typing: allowTyping,
  sound: (stream) => voice.play(stream),
  waiting: ({ cause, attempt, of, seconds }) => {
    setPhase("waiting");
    show("waiting");
    conversation.showInterim({});
    notice.tell(labels.causes[cause], { countdown: labels.countdown(seconds, attempt, of) });
  },
  over,
};

function hear(event) {
  if (!Object.hasOwn(handlers, event.type)) return; // a newer server may tell more than we know
  try {
    handlers[event.type](event);
  } catch (error) {
    console.warn("odd event", event, error);
  }
}

function over({ reason, failure }) {
  const wasWriting = voice.writing;
  call = null;
  tabs.live = false;
  voice.close();
  conversation.showInterim({});
  document.body.classList.toggle("talked", byId("conversation").childElementCount > 0);
  setPhase("idle");
  show(connected ? "ended" : "idle");
  if (connected) {
    button.textContent = labels.callAgain;
    byId("announcer").textContent = labels.states.ended;
  }
  if (!failure) return notice.tell(wordFor(labels.reasons, reason) ?? "");
  const canWrite = failure.code.startsWith("mic_") && !wasWriting;
  const actions = canWrite ? [{ label: labels.callWithout, run: () => press(NONE) }] : [];
  notice.tell(inWords(failure.code, failure.detail, failure.status), { actions });
}

// A microphone that ends during sleep is no unplugged one: nothing is opened while nobody may be there.
function mayReopen() {
  if (!call?.justWoke) return true;
  call.end("asleep");
  return false;
}

// ------------------------------------------------------------ what is shown

function show(name) {
  state.dataset.state = name;
  state.textContent = labels.states[name];
}

function setPhase(next) {
  phase = document.body.dataset.phase = next;
  button.textContent = { idle: labels.call, live: labels.hangUp, waiting: labels.cancel }[phase];
  if (phase === "live") return;
  allowTyping(false);
  clearInterval(clockTimer);
  connection.textContent = "";
}

function allowTyping(allowed) {
  for (const field of byId("typed").elements) field.disabled = !allowed;
  if (allowed && voice.writing) text.focus();
}

function startClock() {
  clearInterval(clockTimer);
  const beganMs = Date.now();
  const tick = () => {
    const seconds = Math.floor((Date.now() - beganMs) / 1000);
    byId("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  tick();
  clockTimer = setInterval(tick, 1000);
}

async function introduce() {
  const [running, empty] = await Promise.all([engines(), hasNoDocuments({ tenant, token })]);
  if (!running) return notice.tell(labels.givenUp.starting);
  const natures = ["emulated", "embedded", "model"].filter((nature) => running.natures.has(nature));
  byId("engines").textContent = [`${labels.profile}: ${running.profile}`, ...natures.map((n) => labels.natures[n])].join(" · ");
  byId("no-documents").hidden = !empty;
  const at = location.origin === "http://127.0.0.1:8000" ? "" : ` --url ${location.origin}`;
  byId("ingest").textContent = `.venv/bin/dukat ingest FOLDER --tenant ${tenant}${at}`;
}

button.addEventListener("click", () => press());
byId("typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const written = text.value.trim();
  if (!written || !call?.say(written)) return;
  text.value = "";
  follow.toNewest();
});
let toldMs = 0;
function stirs() {
  if (Date.now() - toldMs < TYPING_EVERY_MS) return;
  toldMs = Date.now();
  call?.typing();
}
text.addEventListener("input", stirs);
// Who reads along instead of listening is there as well.
for (const sign of ["pointermove", "wheel", "touchmove", "keydown"]) addEventListener(sign, () => voice.writing && stirs(), { passive: true });
settings.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || !settings.open) return;
  settings.open = false;
  settings.querySelector("summary").focus();
});
addEventListener("pagehide", () => {
  putAway = phase !== "idle";
  end("cancelled");
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted && putAway) notice.tell(labels.reasons.asleep);
});

fitAboveKeyboard();
show("idle");
introduce();
