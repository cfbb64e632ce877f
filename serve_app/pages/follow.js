// Keeps the newest in view, unless the caller has scrolled up to read; then a button leads back down.

const NEAR_PX = 80;

export class Follow {
  #scroller;
  #button;
  #following = true;
  #lastTop = 0;

  constructor({ scroller, content, button }) {
    this.#scroller = scroller;
    this.#button = button;
    // Once per frame at most, whatever the number of events; also when the page's height changes (keyboard, settings).
    const observer = new ResizeObserver(() => this.#settle());
    for (const each of [scroller, ...content]) observer.observe(each);
    scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    button.addEventListener("click", () => {
      this.toNewest();
      scroller.focus({ preventScroll: true }); // the button goes away, and focus must not go with it
    });
  }

  toNewest() {
    this.#following = true;
    this.#settle();
  }

  // Only a move upwards is the caller's wish to read: far from the end is also where an answer that has just grown
  // leaves us, when the event of our own last scrolling arrives late.
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#following = true;
    else if (scrollTop < this.#lastTop) this.#following = false;
    this.#lastTop = scrollTop;
    this.#button.hidden = this.#following;
  }

  #settle() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#look();
  }
}
