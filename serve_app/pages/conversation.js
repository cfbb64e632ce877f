// The conversation as it is shown: what the caller said, what the agent says and where it has it from, how long it took.
// Takes the events of the call, one method an event type. Events come over the line: any field may be missing or odd.

import { element } from "./elements.js";
import { labels } from "./labels.js";
import { waterfall } from "./waterfall.js";

const MOST_SHOWN = 400; // items; 200 turns. Older ones go, so that an event costs the same in the third hour as in the first

export class Conversation {
  #replies = new Map(); // number of the reply → { item, text, sources, times }
  #cut = false;

  // announcer: a live region for screen readers; list itself is not one, or a growing answer would be read again each
  // time it grows.
  constructor({ list, interim, announcer }) {
    this.list = list;
    this.interim = interim;
    this.announcer = announcer;
  }

  clear() {
    this.#replies.clear();
    this.#cut = false;
    this.list.replaceChildren();
    this.announcer.textContent = "";
    this.#hideInterim();
  }

  // A new call after a broken one: what stands above belongs to the old one, whose numbers are used again.
  divide() {
    this.#hideInterim();
    this.#replies.clear();
    if (this.list.childElementCount === 0) return;
    this.#append(element("li", "divider", labels.newCall));
    this.announcer.textContent = labels.newCall;
  }

  showInterim({ text, stable_chars: stable }) {
    const whole = asText(text);
    const firm = Number.isInteger(stable) && stable > 0 ? stable : 0;
    this.interim.replaceChildren(whole.slice(0, firm), element("span", "unstable", whole.slice(firm)));
    this.interim.hidden = !whole;
  }

  showFinal({ text }) {
    this.#hideInterim();
    this.#add("by-caller", labels.you, asText(text) || labels.notUnderstood);
  }

  showReply({ reply, text, sources }) {
    if (!asText(text)) return;
    const shown = this.#reply(reply);
    shown.text.textContent = text;
    const named = (Array.isArray(sources) ? sources : []).map(namesOf).filter(([title]) => title);
    const once = new Map(named.map((names) => [names.join("\n"), names]));
    shown.sources.replaceChildren(...[...once.values()].map(sourceItem));
  }

  // The reply is over. After an interruption, what was written but never heard is struck out.
  showHeard({ reply, text, complete }) {
    const shown = this.#replies.get(reply);
    if (!shown) return;
    const [whole, heard] = [shown.text.textContent, asText(text)];
    this.announcer.textContent = `${labels.agent}: ${complete ? whole : heard}`;
    if (complete || !whole.startsWith(heard)) return;
    const unheard = element("s", "", whole.slice(heard.length).trimStart());
    shown.text.replaceChildren(heard && `${heard} `, unheard, element("span", "note", ` (${labels.interrupted})`));
  }

  showLedger(ledger) {
    const shown = this.#replies.get(ledger.reply);
    const times = shown && waterfall(ledger);
    if (!times) return;
    shown.times?.remove();
    shown.times = times;
    shown.item.append(times);
  }

  #reply(number) {
    let shown = this.#replies.get(number);
    if (!shown) {
      const item = this.#add("by-agent", labels.agent, "");
      const sources = element("ul", "sources");
      item.append(sources);
      shown = { item, text: item.querySelector(".text"), sources, times: null };
      this.#replies.set(number, shown);
    }
    return shown;
  }

  #add(side, who, text) {
    const item = element("li", `said ${side}`);
    const words = element("p", "text", text);
    words.dir = "auto";
    item.append(element("span", "for-readers", `${who}: `), words);
    this.#append(item);
    return item;
  }

  #append(item) {
    this.list.append(item);
    if (this.list.childElementCount <= MOST_SHOWN) return;
    if (!this.#cut) this.list.prepend(element("li", "divider", labels.earlier));
    this.#cut = true;
    while (this.list.childElementCount > MOST_SHOWN) this.list.children[1].remove(); // under the line that says so
    for (const [number, shown] of this.#replies) {
      if (shown.item.isConnected) break; // the map is in order of age
      this.#replies.delete(number);
    }
  }

  #hideInterim() {
    this.interim.hidden = true;
    this.interim.replaceChildren();
  }
}

function asText(value) {
  return typeof value === "string" ? value : "";
}

// [title] or [title, file]
function namesOf(source) {
  const [title, file] = [asText(source?.title), asText(source?.source)];
  return title && file && file !== title ? [title, file] : [title || file];
}

function sourceItem([title, file]) {
  const item = element("li", "", `${labels.source}: `);
  item.append(element("bdi", "", title)); // each in its own direction: an English file in an Arabic line
  if (file) item.append(" (", element("bdi", "", file), ")");
  return item;
}
