// The playground: a query and items go to /v1/relevance, and what the model says of them is shown.

import { Refused, address, call, hasKey, useKey } from "./calls.js";
import { curl, json } from "./curl.js";
import { at } from "./elements.js";
import { show, summary } from "./results.js";

const PATH = "v1/relevance";
const NEAREST = 3; // training pairs asked for
const PATIENCE = 2000; // ms between looks at a server that is loading

let about = null; // what /info says
let shown = null; // the last reply, its items and its seconds
let running = null; // the call on its way

function say(text, trouble = false) {
  at("notice").textContent = text;
  at("notice").classList.toggle("trouble", trouble);
}

async function begin() {
  try {
    about = await call("info");
  } catch (error) {
    if (error.kind === "no_key") return askForKey(error);
    say(error.kind === "not_ready" ? "The model is being loaded …" : error.message, error.kind !== "not_ready");
    setTimeout(begin, PATIENCE);
    return;
  }
  say("");
  at("enter").hidden = true;
  const grades = Object.values(about.model_type.reranker.id2label);
  at("about").textContent = `${about.model_id} · version ${about.model_sha} · grades ${grades.join(", ")}`;
  const out = about.has_ood && about.ood !== "never";
  at("ood").disabled = !out;
  at("ood").checked &&= out;
  at("nearest").disabled = !about.has_nearest;
  at("nearest").checked &&= about.has_nearest;
  at("missing").hidden = about.has_nearest;
  at("missing").textContent = about.has_nearest ? "" : `No nearest training pairs: ${about.no_nearest}.`;
  at("curl-hint").hidden = !hasKey();
  at("work").hidden = false;
  refresh();
  at("query").focus();
}

function askForKey(error) {
  at("work").hidden = true;
  at("enter").hidden = false;
  say(hasKey() ? `${error.message}.` : "", true);
  if (!hasKey()) say("");
  at("key").value = "";
  at("key").focus();
}

function items() {
  return at("items").value.split(/\r\n|\r|\n/).map((line) => line.trim()).filter((line) => line !== "");
}

function body() {
  const wanted = { query: at("query").value, items: items() };
  if (!at("ood").checked) wanted.ood = false;
  if (at("nearest").checked) wanted.nearest = NEAREST;
  return json(wanted);
}

function refresh() {
  const count = items().length;
  at("count").textContent = count === 0 ? "No items yet" : `${count} ${count === 1 ? "item" : "items"}`;
  at("curl").textContent = curl(address(PATH), body(), hasKey());
}

async function score() {
  const given = items();
  if (given.length === 0) {
    say("Give at least one item.", true);
    at("items").focus();
    return;
  }
  running?.abort();
  const own = (running = new AbortController());
  at("score").ariaBusy = "true";
  say("Scoring …");
  const start = performance.now();
  try {
    const reply = await call(PATH, body(), own.signal);
    shown = { reply, items: given, seconds: (performance.now() - start) / 1000, flagAt: about.ood_flag_at };
    at("found").hidden = false;
    at("summary").textContent = summary(shown);
    show(shown, at("order").value);
    say(`Scored: ${at("summary").textContent.split(" · ").slice(0, 2).join(", ")}.`);
    document.body.dataset.shown = String(Number(document.body.dataset.shown ?? 0) + 1);
  } catch (error) {
    if (own.signal.aborted) return;
    if (!(error instanceof Refused)) throw error;
    if (error.kind === "no_key") askForKey(error);
    else say(error.message, true);
  } finally {
    if (running === own) at("score").ariaBusy = "false";
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copy").textContent = "Copied";
    say("The command is copied.");
  } catch {
    // Without TLS and off this machine browsers give pages no clipboard.
    getSelection().selectAllChildren(at("curl"));
    at("curl").focus();
    say("The command is selected: copy it with Ctrl C.");
  }
  setTimeout(() => (at("copy").textContent = "Copy"), PATIENCE);
}

at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key").value.trim());
  begin();
});
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  score();
});
at("items").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  event.preventDefault();
  score();
});
at("ask").addEventListener("input", refresh);
at("order").addEventListener("change", () => shown !== null && show(shown, at("order").value));
at("copy").addEventListener("click", copy);
begin();
