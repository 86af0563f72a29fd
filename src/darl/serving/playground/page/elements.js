// Small makers of elements. Text goes in as text, never as markup.

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/** A new element of a class, holding texts and elements. */
export function make(tag, name, ...inside) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...inside);
  return element;
}

/** Text that people wrote, in the direction of its own script; a long one scrolls, so it must take the focus. */
export function written(tag, name, text) {
  const element = make(tag, name, text);
  element.dir = "auto";
  return element;
}

/** A bar from 0 to 1, for the eye alone: its figure stands beside it. A mark may be set on it. */
export function track(share, mark) {
  const fill = make("i");
  fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  const bar = make("span", "track", fill);
  if (mark !== undefined) {
    const line = make("i", "mark");
    line.style.insetInlineStart = `calc(${100 * mark}% - 1px)`;
    bar.append(line);
  }
  bar.ariaHidden = "true";
  return bar;
}

/** Steps up to `grade` of `count`, for the eye alone; nothing where they would be too many to tell apart. */
export function steps(grade, count) {
  const bars = make("span", "bars");
  for (let step = 0; step < count && count <= 7; step += 1) {
    const one = make("i", step <= grade ? "full" : "");
    one.style.height = `${Math.round((100 * (step + 1)) / count)}%`;
    bars.append(one);
  }
  bars.ariaHidden = "true";
  return bars;
}
