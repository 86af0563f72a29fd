"use strict";
(() => {
  const { charts, config, palettes } = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  const theme = () => root.dataset.theme || (system.matches ? "dark" : "light");

  // The same as darl.report.theme.resolved: a role's name becomes its colour.
  const resolved = (spec, palette) => {
    if (Array.isArray(spec)) return spec.map((value) => resolved(value, palette));
    if (spec !== null && typeof spec === "object") {
      return Object.fromEntries(Object.entries(spec).map(([key, value]) => [key, resolved(value, palette)]));
    }
    return typeof spec === "string" && Object.hasOwn(palette, spec) ? palette[spec] : spec;
  };

  const draw = async (place) => {
    const chart = charts[place.dataset.chart];
    const palette = palettes[theme()];
    const spec = { ...resolved(chart.spec, palette), data: { values: chart.data }, width: "container", height: chart.height };
    place.drawn?.finalize();
    place.drawn = await window.vegaEmbed(place, spec, {
      actions: false, renderer: chart.canvas ? "canvas" : "svg", config: resolved(config, palette), tooltip: { theme: theme() },
    });
    // Vega gives its elements roles without names; the place itself is the picture and has its text.
    for (const part of place.querySelectorAll("[role], [aria-roledescription]")) {
      for (const name of ["role", "aria-roledescription", "aria-label"]) part.removeAttribute(name);
    }
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", chart.alt);
    place.removeAttribute("aria-roledescription");
  };

  const places = [...document.querySelectorAll("[data-chart]")];
  const pause = () => new Promise((go) => setTimeout(go, 0));
  let latest = 0;
  // One chart after the other in the order of the page, with pauses in which the reader may scroll.
  const drawAll = async () => {
    const mine = ++latest;
    for (const place of places) {
      await pause();
      if (mine !== latest) return;  // the look has changed meanwhile
      await draw(place);
    }
    root.dataset.drawn = theme();
  };

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    drawAll();
  });
  system.addEventListener("change", () => root.dataset.theme || drawAll());

  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", async () => {
      const place = places.find((one) => one.dataset.chart === button.dataset.of);
      const link = document.createElement("a");
      link.href = await place.drawn.view.toImageURL(button.dataset.save, button.dataset.save === "png" ? 2 : 1);
      link.download = `${charts[button.dataset.of].file}.${button.dataset.save}`;
      link.click();
    });
  }
  drawAll();
})();
