// Every text of the page, one file a language: strings/<code>.json. To add a language, add its file and its line here.

export const LANGUAGES = { en: "English", zh: "中文" };
const KEPT = "darl.language";

let texts = {};
let language = "en";

/** The language that was chosen here before, else the first of the browser's that there is, else English. */
export function preferred() {
  const wanted = [localStorage.getItem(KEPT), ...navigator.languages];
  return wanted.map((code) => (code ?? "").slice(0, 2).toLowerCase()).find((code) => code in LANGUAGES) ?? "en";
}

/** Load a language and write its texts into the page. */
export async function speak(code, keep = false) {
  const answer = await fetch(`/static/strings/${code}.json`);
  texts = await answer.json();
  language = code;
  if (keep) localStorage.setItem(KEPT, code);
  document.documentElement.lang = code === "zh" ? "zh-Hans" : code;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = say(element.dataset.label);
}

/** The code of the language after this one. */
export function nextLanguage() {
  const codes = Object.keys(LANGUAGES);
  return codes[(codes.indexOf(language) + 1) % codes.length];
}

/** A text by its name, with {fields} filled in. */
export function say(name, fields = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (whole, field) => String(fields[field] ?? whole));
}
