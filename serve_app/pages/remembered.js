// Choices that outlive the page. Storage may be forbidden (private windows, policies): then they last as long as the page.

const kept = new Map();
const PREFIX = "dukat.";

export function remembered(name) {
  try {
    return localStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return kept.get(name) ?? "";
  }
}

export function remember(name, value) {
  kept.set(name, value);
  try {
    if (value) localStorage.setItem(PREFIX + name, value);
    else localStorage.removeItem(PREFIX + name);
  } catch {
    // `kept` has it
  }
}
