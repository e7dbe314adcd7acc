/** Our own line drawings, 24 × 24, built as SVG elements. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  logo: ["M4 9.5v5", "M9.3 5v14", "M14.7 7.5v9", "M20 10.5v3"],
  hash: ["M9.5 4.5 7.5 19.5", "M16.5 4.5l-2 15", "M5 9.5h15", "M4 14.5h15"],
  voice: ["M4 10v4h3.5l4.5 4V6L7.5 10z", "M15.5 9.5a3.6 3.6 0 0 1 0 5", "M18 7a7.2 7.2 0 0 1 0 10"],
  video: ["M4 7.5h10.5v9H4z", "M14.5 11l5.5-3v8l-5.5-3z"],
  plus: ["M12 5v14", "M5 12h14"],
  invite: [
    "M9.5 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
    "M3.5 19.5c.5-3.5 2.8-5.5 6-5.5s5.5 2 6 5.5",
    "M18.5 7.5v6",
    "M15.5 10.5h6",
  ],
  people: [
    "M9 11a3.3 3.3 0 1 0 0-6.6A3.3 3.3 0 0 0 9 11z",
    "M3 19c.4-3.2 2.7-5 6-5s5.6 1.8 6 5",
    "M16 5a3 3 0 0 1 0 5.8",
    "M17.5 14.3c2 .7 3.2 2.3 3.5 4.7",
  ],
  microphone: ["M12 14.5a3 3 0 0 0 3-3V6.5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3z", "M6 11.5a6 6 0 0 0 12 0", "M12 17.5v3"],
  muted: [
    "M9 9.5v2a3 3 0 0 0 4.5 2.6",
    "M15 11V6.5a3 3 0 0 0-5.7-1.3",
    "M6 11.5a6 6 0 0 0 9.3 5",
    "M18 11.5c0 .8-.15 1.5-.4 2.2",
    "M12 17.5v3",
    "M4.5 4.5l15 15",
  ],
  leave: [
    "M3 15.2c-1-1.9-.6-3.9 1-5.1 4.7-3.5 11.3-3.5 16 0 1.6 1.2 2 3.2 1 5.1l-4.8-1.4-.2-2.9c-2.6-.9-5.4-.9-8 0l-.2 2.9z",
  ],
  sun: [
    "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
    "M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  ],
  moon: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"],
  exit: ["M10 4.5H5.5v15H10", "M10 12h10", "M16.5 8.5 20 12l-3.5 3.5"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h10"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  send: ["M4.5 5 20 12 4.5 19l2.5-7z", "M7 12h6"],
  down: ["M12 5v14", "M6.5 13.5 12 19l5.5-5.5"],
  retry: ["M19 12a7 7 0 1 1-2.2-5.1", "M19.5 3.5v4.5H15"],
  listen: ["M4.5 17v-4.5a7.5 7.5 0 0 1 15 0V17", "M4.5 14.5h3v5h-3z", "M16.5 14.5h3v5h-3z"],
  copy: ["M9 9h10.5v10.5H9z", "M5.5 15H4.5V4.5H15v1"],
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 24 24", class: `icon icon-${name}`, "aria-hidden": "true", focusable: "false" };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
