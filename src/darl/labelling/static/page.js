// The labelling page: one pair at a time. Every text of a pair goes into the page as text, never as markup.

import { Refused, answer, call, pending, takeKey } from "./calls.js";
import { listen } from "./keys.js";
import { LANGUAGES, nextLanguage, preferred, say, speak } from "./strings.js";

const NAME = "darl.annotator";
const TROUBLE = ["sending", "database", "gone", "key", "refused"]; // notices that must not be overlooked
const at = (id) => document.getElementById(id);

let about = { grades: [], guideline: "" };
let annotator = localStorage.getItem(NAME) ?? "";
let state = null; // what the server said last: task, progress, can_undo
let busy = false;
let notice = null; // [name, fields] of the text shown, so that it follows the language
let looked = 0; // milliseconds that the pair was in sight
let since = 0;
let shown = 0; // pairs that came into sight

// ------------------------------------------------------------------------------------------------ what is shown

function show(part) {
  for (const id of ["enter", "done", "work"]) at(id).hidden = id !== part;
  at("standing").hidden = at("who").hidden = at("help").hidden = part === "enter";
}

function tell(name, fields) {
  notice = name === null ? null : [name, fields];
  at("notice").textContent = name === null ? "" : say(name, fields);
  at("notice").classList.toggle("trouble", TROUBLE.includes(name));
}

function render() {
  at("name").textContent = annotator;
  at("who").title = say("change_name");
  at("guideline").textContent = about.guideline || say("no_guideline");
  renderKeys();
  if (notice !== null) tell(...notice);
  if (state === null) return;
  renderProgress(state.progress);
  at("undo").disabled = at("undo-done").disabled = !state.can_undo;
  if (state.task === null) return show("done");
  show("work");
  const { query, item, fields, previous, skipped } = state.task;
  at("query").textContent = query;
  at("item").textContent = item;
  at("fields").replaceChildren(...Object.entries(fields).flatMap(([name, value]) => [textOf("dt", name), textOf("dd", value)]));
  for (const button of at("grades").children) button.ariaPressed = String(previous?.grade === Number(button.dataset.grade));
  const before = previous !== null ? say("before", { answer: nameOf(previous) }) : skipped ? say("skipped_before") : "";
  at("before").textContent = before;
  at("before").hidden = before === "";
  reachScrolling();
}

function renderProgress({ done, total, mine, seconds_left: seconds }) {
  at("bar").max = Math.max(1, total);
  at("bar").value = done;
  at("counts").textContent = say("counts", { done, total, mine });
  const minutes = seconds === null ? null : Math.round(seconds / 60);
  const left = minutes === null || state.task === null ? "left_unknown" : seconds < 60 ? "left_seconds" : minutes < 90 ? "left_minutes" : "left_hours";
  at("left").textContent = say(left, { n: left === "left_hours" ? Math.round(minutes / 60) : minutes });
}

function renderGrades() {
  at("grades").replaceChildren(
    ...about.grades.map((name, grade) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "grade";
      button.dataset.grade = String(grade);
      const key = keyOf(grade);
      const bars = document.createElement("span");
      bars.className = "bars";
      bars.ariaHidden = "true";
      if (about.grades.length <= 7) bars.append(...about.grades.map((_, step) => bar(step, grade)));
      const word = textOf("bdi", name);
      word.className = "word";
      if (key !== null) {
        button.setAttribute("aria-keyshortcuts", key);
        button.append(textOf("kbd", key));
      }
      button.append(word, bars);
      button.addEventListener("click", () => choose("grade", grade));
      return button;
    }),
  );
}

function bar(step, grade) {
  const one = document.createElement("i");
  one.style.height = `${Math.round((100 * (step + 1)) / about.grades.length)}%`;
  if (step <= grade) one.className = "full";
  return one;
}

function renderKeys() {
  const rows = [
    ...about.grades.map((name, grade) => [keyOf(grade), name]).filter(([key]) => key !== null),
    ...["x cannot_tell", "s skip", "u undo", "n note", "g guideline", "l key_language", "h key_help"].map((row) => {
      const [key, name] = row.split(" ");
      return [key, say(name)];
    }),
  ];
  at("key-list").replaceChildren(
    ...rows.map(([key, name]) => {
      const row = document.createElement("tr");
      const cell = document.createElement("td");
      cell.append(textOf("kbd", key));
      row.append(cell, textOf("td", name));
      return row;
    }),
  );
}

/** Key of a grade: 1 … 9 for the first nine, 0 for the tenth, none beyond. */
function keyOf(grade) {
  return grade < 10 ? String((grade + 1) % 10) : null;
}

function nameOf({ outcome, grade }) {
  return outcome === "grade" ? about.grades[grade] : say(outcome);
}

function textOf(tag, text) {
  const element = document.createElement(tag);
  if (tag === "dd" || tag === "dt") element.dir = "auto";
  element.textContent = text;
  return element;
}

/** A text too long for its box can be scrolled with the keyboard too. */
function reachScrolling() {
  for (const element of document.querySelectorAll(".text, #fields")) {
    element.scrollTop = 0;
    element.toggleAttribute("tabindex", false);
    if (element.scrollHeight > element.clientHeight + 1) element.tabIndex = 0;
  }
}

function toggleNote(open) {
  at("note-line").hidden = !open;
  at("show-note").ariaExpanded = String(open);
  if (open) at("note").focus();
}

function toggleGuide(open) {
  at("guide").hidden = !open;
  at("show-guide").ariaExpanded = String(open);
  at("work").classList.toggle("guided", open);
  reachScrolling();
}

// ------------------------------------------------------------------------------------------------- what is done

function arrived(found) {
  state = found;
  const note = found.task?.previous?.note ?? "";
  at("note").value = note;
  toggleNote(note !== "");
  render();
  looked = 0;
  since = performance.now();
  at(found.task === null ? "done" : "pair").focus({ preventScroll: true });
  shown += 1;
  document.body.dataset.shown = String(shown); // for whoever drives the page by program
}

/** Run one call to the server at a time; its refusals become notices. */
async function exclusively(work) {
  if (busy) return;
  busy = true;
  const waiting = (code) => tell(code);
  try {
    await work(waiting);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === "gone") {
      arrived(await call("next", { annotator }, waiting));
      tell("gone");
    } else {
      tell(error.code === "key" ? "key" : "refused", { message: error.message });
    }
  } finally {
    busy = false;
  }
}

function choose(outcome, grade = null) {
  if (state?.task == null || at("work").hidden) return;
  const { token } = state.task;
  if (!document.hidden) looked += performance.now() - since;
  since = performance.now();
  const said = { annotator, token, outcome, grade, note: at("note").value, seconds: looked / 1000 };
  exclusively(async (waiting) => {
    const found = await answer(said, waiting);
    arrived(found);
    tell(outcome === "skip" ? "skipped" : "saved", { answer: nameOf(said) });
  });
}

function takeBack() {
  if (!state?.can_undo) return;
  exclusively(async (waiting) => {
    arrived(await call("undo", { annotator }, waiting));
    tell("taken_back");
  });
}

function lookForMore() {
  exclusively(async (waiting) => {
    const left = pending();
    if (left !== null && left.annotator === annotator) await answer(left, waiting);
    arrived(await call("next", { annotator }, waiting));
    tell(null);
  });
}

function begin(name) {
  annotator = name.trim();
  localStorage.setItem(NAME, annotator);
  if (annotator === "") return askName();
  lookForMore();
}

function askName() {
  state = null;
  tell(null);
  show("enter");
  at("annotator").value = annotator;
  at("annotator").focus();
}

async function changeLanguage(code, keep) {
  await speak(code, keep);
  at("language").value = code;
  render();
}

// ------------------------------------------------------------------------------------------------------ the start

function wire() {
  for (const [code, name] of Object.entries(LANGUAGES)) at("language").append(new Option(name, code));
  at("language").addEventListener("change", (event) => changeLanguage(event.target.value, true));
  at("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(at("annotator").value);
  });
  at("who").addEventListener("click", askName);
  at("help").addEventListener("click", () => at("keys").showModal());
  at("again").addEventListener("click", lookForMore);
  at("cannot-tell").addEventListener("click", () => choose("cannot_tell"));
  at("skip").addEventListener("click", () => choose("skip"));
  for (const id of ["undo", "undo-done"]) at(id).addEventListener("click", takeBack);
  at("show-note").addEventListener("click", () => toggleNote(at("note-line").hidden));
  at("show-guide").addEventListener("click", () => toggleGuide(at("guide").hidden));
  at("note").addEventListener("keydown", (event) => {
    if (event.key === "Escape") at("pair").focus();
  });
  addEventListener("resize", reachScrolling);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) looked += performance.now() - since;
    since = performance.now();
  });
  listen(() => at("use-keys").checked, {
    digit: (digit) => {
      const grade = (digit + 9) % 10;
      if (grade < about.grades.length) choose("grade", grade);
    },
    x: () => choose("cannot_tell"),
    s: () => choose("skip"),
    u: takeBack,
    n: () => !at("work").hidden && toggleNote(true),
    g: () => !at("work").hidden && toggleGuide(at("guide").hidden),
    l: () => changeLanguage(nextLanguage(), true),
    h: () => !at("help").hidden && at("keys").showModal(),
  });
}

/** Keep the pair ours while it is in sight. */
function keepLease(seconds) {
  setInterval(() => {
    const token = state?.task?.token;
    if (token && !document.hidden && !busy) call("renew", { annotator, token }).catch(() => {});
  }, 1000 * seconds);
}

async function start() {
  takeKey();
  wire();
  await changeLanguage(preferred(), false);
  await exclusively(async (waiting) => {
    about = await call("project", undefined, waiting);
    at("note").maxLength = about.longest_note;
    renderGrades();
    keepLease(about.renew_seconds);
    tell(null);
  });
  if (about.grades.length === 0) return;
  render();
  toggleGuide(about.guideline !== "" && matchMedia("(min-width: 60rem)").matches);
  if (annotator === "") askName();
  else lookForMore();
}

start();
