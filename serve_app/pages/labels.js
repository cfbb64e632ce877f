// The words of the page in its language: the server has set <html lang> from ?lang= or from the tenant.

import { causeOf } from "./redial.js";
import { ar } from "./words-ar.js";
import { en } from "./words-en.js";

export const labels = document.documentElement.lang === "ar" ? ar : en;

// The sentence for an error; the server's own detail is added where we have no words for its code.
export function inWords(code, detail = "", status = 0) {
  const known = wordFor(labels.errors, code);
  if (known) return known;
  if (status === 401 || status === 403) return labels.errors.not_allowed;
  const cause = causeOf(code, status); // dialling again did not mend it
  if (cause) return labels.givenUp[cause];
  return detail ? `${labels.errors.unknown} (${detail})` : labels.errors.unknown;
}

// Codes come over the line: "constructor" is no word of ours.
export function wordFor(words, code) {
  return Object.hasOwn(words, code) ? words[code] : undefined;
}

// Fills in everything the HTML only names: <… data-label="call" data-label-aria="…" data-label-placeholder="…" data-label-title="…">.
export function translate(root = document) {
  for (const each of root.querySelectorAll("[data-label]")) each.textContent = labels[each.dataset.label];
  for (const attribute of ["aria-label", "placeholder", "title"]) {
    const data = `data-label-${attribute.replace("aria-label", "aria")}`;
    for (const each of root.querySelectorAll(`[${data}]`)) each.setAttribute(attribute, labels[each.getAttribute(data)]);
  }
}
