// The conversation as it is shown: what the caller said, what the agent says and where it has it from, how long it took.
// Takes the events of the call, one method an event type; texts only ever reach the page as text.

import { labels } from "./labels.js";

export class Conversation {
  #replies = new Map(); // number of the reply → { item, text, sources, figures }

  constructor({ list, interim, scroller }) {
    this.list = list;
    this.interim = interim;
    this.scroller = scroller;
  }

  clear() {
    this.#replies.clear();
    this.list.replaceChildren();
    this.#hideInterim();
  }

  showInterim({ text, stable_chars: stable = 0 }) {
    this.#keepingEndInView(() => {
      this.interim.replaceChildren(text.slice(0, stable), element("span", "unstable", text.slice(stable)));
      this.interim.hidden = !text;
    });
  }

  showFinal({ text }) {
    this.#keepingEndInView(() => {
      this.#hideInterim();
      this.#add("by-caller", labels.you, text || labels.notUnderstood);
    });
  }

  showReply({ reply, text, sources = [] }) {
    this.#keepingEndInView(() => {
      const shown = this.#reply(reply);
      shown.text.textContent = text;
      const titles = new Set(sources.map(({ title, source }) => (source && source !== title ? `${title} (${source})` : title)));
      shown.sources.replaceChildren(...[...titles].map((title) => element("li", "", `${labels.source}: ${title}`)));
    });
  }

  // After an interruption: what was written but never heard is struck out.
  showHeard({ reply, text, complete }) {
    const shown = this.#replies.get(reply);
    const whole = shown?.text.textContent ?? "";
    if (!shown || complete || !whole.startsWith(text)) return;
    const unheard = element("s", "", whole.slice(text.length).trimStart());
    shown.text.replaceChildren(`${text} `, unheard, element("span", "note", ` (${labels.interrupted})`));
  }

  showLedger({ reply, response_ms: response, over_floor_ms: over, wait_ms: pause, stages = {} }) {
    const shown = this.#replies.get(reply);
    if (!shown || response == null) return; // a greeting or a typed turn has no moment at which the caller fell silent
    const figure = (name, value) => `${name} ${Math.round(value)} ${labels.ms}`;
    const figures = [figure(labels.answeredAfter, response)];
    if (over != null) figures.push(figure(labels.platform, over));
    if (pause) figures.push(figure(labels.pause, pause));
    for (const [stage, name] of Object.entries(labels.stages)) {
      const took = stages[stage]?.engine_ms;
      if (took != null) figures.push(figure(name, took));
    }
    this.#keepingEndInView(() => {
      shown.figures.replaceChildren(...figures.map((text) => element("span", "", text)));
    });
  }

  #reply(number) {
    let shown = this.#replies.get(number);
    if (!shown) {
      const item = this.#add("by-agent", labels.agent, "");
      const [sources, figures] = [element("ul", "sources"), element("p", "figures")];
      figures.setAttribute("aria-live", "off");
      item.append(sources, figures);
      shown = { text: item.querySelector(".text"), sources, figures };
      this.#replies.set(number, shown);
    }
    return shown;
  }

  #add(side, who, text) {
    const item = element("li", `said ${side}`);
    const words = element("p", "text", text);
    words.dir = "auto";
    item.append(element("span", "for-readers", `${who}: `), words);
    this.list.append(item);
    return item;
  }

  #hideInterim() {
    this.interim.hidden = true;
    this.interim.replaceChildren();
  }

  // Follow the talk, unless the caller has scrolled up to read.
  #keepingEndInView(change) {
    const { scroller } = this;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    change();
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}
