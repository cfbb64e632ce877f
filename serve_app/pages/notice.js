// What the page has to say about the call: one sentence, perhaps a countdown, perhaps buttons.

import { element } from "./elements.js";

export class Notice {
  #said = "";

  // box holds .words (role="alert": read aloud at once), .countdown (not read: it changes every second) and .actions.
  constructor(box) {
    this.box = box;
    [this.words, this.countdown, this.actions] = [".words", ".countdown", ".actions"].map((s) => box.querySelector(s));
  }

  // actions: [{ label, run }]; the first is the one advised.
  tell(words, { countdown = "", actions = [] } = {}) {
    if (words !== this.#said) this.words.textContent = this.#said = words; // the same words are not read again
    this.countdown.textContent = countdown;
    this.actions.replaceChildren(...actions.map(button));
    this.box.hidden = !words;
  }

  clear() {
    this.tell("");
  }

  focus() {
    this.box.focus();
  }
}

function button({ label, run }) {
  const made = element("button", "", label);
  made.type = "button";
  made.addEventListener("click", run);
  return made;
}
