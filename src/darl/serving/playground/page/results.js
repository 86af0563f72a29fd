// A reply of /v1/relevance as cards, one an item.

import { at, make, steps, track, written } from "./elements.js";

const ORDERS = {
  relevance: (one, other) => other.relevance_score - one.relevance_score,
  ood: (one, other) => (other.ood?.percentile ?? -1) - (one.ood?.percentile ?? -1),
  given: () => 0,
};

/** Show the results of `items` in an order; ties keep the order given. */
export function show({ reply, items, flagAt }, order) {
  const rows = reply.results.map((result, row) => ({ ...result, item: items[row] }));
  rows.sort(ORDERS[order]);
  at("results").replaceChildren(...rows.map((row, place) => card(row, place + 1, reply.grades, flagAt)));
  // What scrolls must be within reach of the keyboard; only layout knows what does.
  for (const text of at("results").querySelectorAll(".item .text")) {
    if (text.scrollHeight > text.clientHeight + 1) {
      text.tabIndex = 0;
      text.setAttribute("role", "group");
      text.ariaLabel = "Item";
    }
  }
}

/** One line about all results. */
export function summary({ reply, seconds }) {
  const count = reply.results.length;
  const known = reply.results.filter((result) => result.ood !== null);
  const flagged = known.filter((result) => result.ood.flag).length;
  const parts = [`${count} ${count === 1 ? "item" : "items"}`];
  if (known.length) parts.push(`${flagged} flagged as far out`);
  parts.push(`${reply.usage.total_tokens} tokens`, `${seconds.toFixed(2)} s`, `model version ${reply.model_version}`);
  return parts.join(" · ");
}

function card(row, place, grades, flagAt) {
  const item = make("div", "item", make("span", "rank", String(place)), written("p", "text", row.item));
  const first = make(
    "p",
    "first",
    make("span", "grade", steps(row.grade, grades.length), written("bdi", "grade-name", row.grade_name)),
    make("span", "score", "relevance ", make("b", "", row.relevance_score.toFixed(3))),
  );
  const figures = make("div", "figures", first, probabilities(row.grade_probs, grades));
  if (row.ood !== null) figures.append(out(row.ood, flagAt));
  const whole = make("li", "card result", item, figures);
  if (row.nearest) whole.append(nearest(row));
  return whole;
}

function probabilities(shares, grades) {
  const table = make("table", "");
  table.ariaLabel = "Grade probabilities";
  const body = make("tbody");
  for (let grade = grades.length - 1; grade >= 0; grade -= 1) {
    const name = make("th", "", written("bdi", "", grades[grade]));
    name.scope = "row";
    const percent = make("td", "number", `${(100 * shares[grade]).toFixed(1)} %`);
    body.append(make("tr", "", name, make("td", "", track(shares[grade])), percent));
  }
  table.append(body);
  return table;
}

function out(ood, flagAt) {
  const words = make("span", ood.flag ? "flag" : "", ood.flag ? "⚑ far out" : "as known pairs");
  const line = make("div", "out", "OOD percentile ", make("b", "percentile", ood.percentile.toFixed(1)), " · ", words);
  line.title = `OOD score ${ood.score.toPrecision(4)}; flagged from the percentile ${flagAt}`;
  line.append(track(ood.percentile / 100, flagAt / 100));
  return line;
}

function nearest(row) {
  const title = make("summary", "", `Nearest training pairs (${row.nearest.length})`);
  const list = make("ol", "near");
  for (const pair of row.nearest) {
    const facts = `graded ${pair.grade_name} · distance ${pair.distance.toFixed(3)}`;
    const texts = [written("bdi", "near-query", pair.query), " → ", written("bdi", "near-item", pair.item)];
    list.append(make("li", "", make("div", "text", ...texts), written("div", "quiet", facts)));
  }
  const details = make("details", "", title, list);
  details.open = row.ood?.flag ?? false;
  return details;
}
