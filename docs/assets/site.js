// What the theme leaves unsaid to screen readers and keyboards.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search");
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
    wide.tabIndex = 0; // it may have to be scrolled, and not everybody has a mouse
  }
  // The buttons to copy code come late, in a landmark of their own each.
  const name = () => document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((nav, at) => {
    nav.setAttribute("aria-label", `Code ${document.querySelectorAll(".md-code__nav[aria-label]").length + 1}`);
  });
  name();
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
});
