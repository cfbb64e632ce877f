// How long a turn's answer took, stage by stage, as a small table whose rows are bars.
//
// In: the event turn.ledger; its times are ms after the end of speech (after the beginning of the turn, when typed).
// Time runs in reading direction: from left to right, from right to left on an Arabic page.

import { element } from "./elements.js";
import { labels } from "./labels.js";

// What goes under the answer; null when there is nothing to tell (a greeting, an answer that never became sound).
export function waterfall({ turn, stages, response_ms: response, wait_ms: pause, engines_ms: engines, over_floor_ms: over }) {
  const spoken = isTime(response);
  const total = spoken ? response : firstSound(stages);
  if (turn === 0 || !isTime(total)) return null;
  const box = element("details", "times");
  const headline = spoken ? labels.answeredAfter : labels.answeredAfterSending;
  box.append(element("summary", "", headline(Math.round(total))));
  const rows = spans(stages, total);
  if (rows.length > 0) {
    box.append(table(rows, total, spoken ? labels.timesSpoken : labels.timesTyped));
  }
  const shares = spoken ? { pause, engines, platform: over } : { engines };
  const told = Object.entries(shares).filter(([, ms]) => isTime(ms));
  const text = told.map(([name, ms]) => `${labels.share[name]}\u00a0${labels.took(Math.round(ms))}`).join(" · ");
  if (text) box.append(element("p", "shares", text));
  return box;
}

function isTime(ms) {
  return typeof ms === "number" && Number.isFinite(ms) && ms >= 0;
}

function firstSound(stages) {
  return Object(stages).playout?.first_ms;
}

// { name, from, took } of each stage up to its first result, within [0, total]: what came later, nobody waited for.
function spans(stages, total) {
  const known = Object.keys(labels.stages).filter((name) => Object.hasOwn(Object(stages), name));
  return known.flatMap((name) => {
    const { began_ms: began, first_ms: first, ended_ms: ended } = Object(stages[name]);
    const until = first ?? ended;
    if (!Number.isFinite(began) || !Number.isFinite(until)) return [];
    const within = (ms) => Math.min(total, Math.max(0, ms));
    return [{ name: labels.stages[name], from: within(began), took: within(until) - within(began) }];
  });
}

function table(rows, total, caption) {
  const made = element("table");
  made.append(element("caption", "for-readers", caption));
  for (const { name, from, took } of rows) {
    const row = made.insertRow();
    const head = element("th", "", name);
    head.scope = "row";
    const chart = element("td", "chart");
    const bar = element("span", "bar");
    bar.style.setProperty("--from", (from / total).toFixed(4)); // by script: the content policy forbids style="…"
    bar.style.setProperty("--took", (took / total).toFixed(4));
    chart.append(bar, element("span", "for-readers", labels.from(Math.round(from))));
    row.append(head, chart, element("td", "took", labels.took(Math.round(took))));
  }
  return made;
}
