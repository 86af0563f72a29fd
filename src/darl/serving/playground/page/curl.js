// A request as a command for a POSIX shell.

// Characters that a terminal may act on, or that turn the reading direction: JSON has escapes for them.
const UNSAFE = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The command; with `keyed` it reads the key from the environment, so that no key stands on the screen. */
export function curl(url, body, keyed) {
  const lines = [`curl -s ${quoted(url)}`, "-H 'Content-Type: application/json'"];
  if (keyed) lines.push('-H "Authorization: Bearer $DARL_KEY"');
  lines.push(`-d ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

/** A value as JSON that is safe to show and to paste. */
export function json(value) {
  return JSON.stringify(value, null, 1).replace(UNSAFE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
