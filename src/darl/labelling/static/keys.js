// Single keys that do something, wherever the focus is, except where one writes.

/**
 * Call `does.<letter>()` or `does.digit(n)` for a key pressed alone.
 *
 * A key is known by what it types, and where an input method or another script stands between, by its place.
 */
export function listen(on, does) {
  document.addEventListener("keydown", (event) => {
    if (!on() || event.repeat || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog")) return;
    const key = typed(event);
    if (/^[0-9]$/.test(key)) does.digit(Number(key));
    else if (key === "?") does.h();
    else if (/^[a-z]$/.test(key) && Object.hasOwn(does, key)) does[key]();
    else return;
    event.preventDefault();
  });
}

function typed(event) {
  const key = event.key.toLowerCase();
  if (/^[0-9a-z?]$/.test(key)) return key;
  const place = /^(?:Digit|Numpad|Key)([0-9A-Z])$/.exec(event.code);
  return place === null ? "" : place[1].toLowerCase();
}
