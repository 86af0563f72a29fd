// Calls to the page's own server. The key lives in this module's memory and nowhere else.

let key = null;

/** A call that was not answered as hoped: `kind` says why, `message` in the server's words. */
export class Refused extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Use this key from now on. */
export function useKey(given) {
  key = given;
}

/** Whether a key is in use. */
export function hasKey() {
  return key !== null;
}

/** The address of an endpoint, also behind a proxy that serves darl under a path. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** GET, or POST with a body of text; resolves to the JSON that comes back. */
export async function call(path, body, signal) {
  const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (/[^\x20-\xff]/.test(key ?? "")) throw new Refused("no_key", "the key holds characters that no request can carry");
  let reply;
  try {
    reply = await fetch(address(path), { method: body === undefined ? "GET" : "POST", headers, body, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("unreachable", "The server does not answer.");
  }
  const data = await reply.json().catch(() => null);
  if (reply.ok && data !== null) return data;
  const { type = "refused", what = `${reply.status} ${reply.statusText}`, where = null } = data?.error ?? {};
  const later = reply.headers.get("Retry-After");
  throw new Refused(type, `${where === null ? "" : `${where}: `}${what}${later === null ? "" : ` (try again in ${later} s)`}`);
}
