// Calls to the server. An answer is kept in the browser until the server has it on disk; its token makes sending it
// twice harmless, so a call is repeated until the server speaks.

const PENDING = "darl.pending";
const KEY = "darl.key";

/** A call that the server refused: `code` says why, `message` in its own words. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Take the access key out of the address (…/#key=…) and keep it for this server. */
export function takeKey() {
  const found = new URLSearchParams(location.hash.slice(1)).get("key");
  if (found !== null) {
    localStorage.setItem(KEY, found);
    history.replaceState(null, "", location.pathname);
  }
}

/** Call the server until it answers; `waiting` is told each time it does not. */
export async function call(path, body, waiting = () => {}) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 4000)) {
    const trouble = await once(path, body);
    if ("data" in trouble) return trouble.data;
    if (trouble.final) throw new Refused(trouble.code, trouble.message);
    waiting(trouble.code);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Send an answer, safely: it is sent again after a reload if the page went away before the server spoke. */
export async function answer(body, waiting) {
  localStorage.setItem(PENDING, JSON.stringify(body));
  try {
    return await call("answer", body, waiting);
  } finally {
    localStorage.removeItem(PENDING);
  }
}

/** The answer that was on its way when the page was left, or null. */
export function pending() {
  try {
    return JSON.parse(localStorage.getItem(PENDING));
  } catch {
    return null;
  }
}

async function once(path, body) {
  const headers = { "X-Darl": "label" };
  const key = localStorage.getItem(KEY);
  if (key !== null) headers["X-Darl-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const method = body === undefined ? "GET" : "POST";
  try {
    const reply = await fetch(`/api/${path}`, { method, headers, body: JSON.stringify(body) });
    const data = await reply.json();
    if (reply.ok) return { data };
    const known = typeof data.error === "string";
    const message = known ? data.message : reply.statusText;
    return { final: reply.status < 500, code: known ? data.error : "refused", message };
  } catch {
    return { final: false, code: "sending" };
  }
}
