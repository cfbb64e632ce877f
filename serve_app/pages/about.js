// What the page asks the server before any call: which engines answer, and whether there is anything to answer from.

import { bearer } from "./call_http.js";

// { profile, natures }: embedded and emulated engines are named openly, they are not what a production system sounds
// like. null when the server does not answer.
export async function engines() {
  try {
    const { profile, engines: all } = await (await fetch("/healthz")).json();
    return { profile, natures: new Set(Object.values(all ?? {}).map(({ nature }) => nature)) };
  } catch (error) {
    console.warn(error);
    return null;
  }
}

// Whether the tenant is known to have none. When it cannot be told (no token, no index) nothing is said.
export async function hasNoDocuments({ tenant, token }) {
  try {
    const answer = await fetch(`/v1/kb/documents?${new URLSearchParams({ tenant })}`, { headers: bearer(token) });
    return answer.ok && (await answer.json()).documents.length === 0;
  } catch (error) {
    console.warn(error);
    return false;
  }
}
