// Keeps the typing line above a phone's on-screen keyboard. Some browsers shrink the page themselves (interactive-widget
// in caller.html); in the others the keyboard lies over it, and only visualViewport knows what is still to be seen.

const SMALL_PX = 420;

export function fitAboveKeyboard() {
  const seen = window.visualViewport;
  const fit = () => {
    if (seen && seen.scale > 1.01) return; // zoomed in to read: not a keyboard
    const height = seen?.height ?? innerHeight;
    document.body.style.setProperty("--seen", `${height}px`);
    document.body.classList.toggle("small", height < SMALL_PX);
  };
  (seen ?? window).addEventListener("resize", fit);
  fit();
}
