/** Three bars that say how good the connection is, one's own or a person's, and in words why they are as they are. */

import { fill, h, setData, setText } from "../dom.js";
import { openPopover } from "./popover.js";

const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

const NAMES = { good: "Good connection", fair: "Fair connection", poor: "Poor connection" };
const NOTABLE = 0.002; // a share below this is not worth a sentence

function sentences({ concealed, lostIn, lostOut, roundTrip }) {
  const lines = [
    roundTrip !== null && `${Math.round(roundTrip * 1000)} ms to the voice server and back.`,
    lostIn > NOTABLE && `${percent.format(lostIn)} of what is sent to you gets lost.`,
    lostOut > NOTABLE && `${percent.format(lostOut)} of what you send gets lost.`,
    concealed > NOTABLE && `${percent.format(concealed)} of what you hear is made up for lost sound.`,
  ].filter(Boolean);
  return lostIn > NOTABLE || lostOut > NOTABLE || concealed > NOTABLE ? lines : [...lines, "Nothing gets lost."];
}

const bars = () => h("span", { class: "bars", "aria-hidden": "true" }, h("i"), h("i"), h("i"));

export function qualitySign({ store }) {
  const title = h("strong", {});
  const reasons = h("span", {});
  const tip = h("span", { class: "tip", role: "tooltip", id: "quality-reasons" }, title, reasons);
  const element = h(
    "button",
    { type: "button", class: "quality", testid: "quality", "aria-describedby": tip.id, hidden: true },
    bars(),
    tip,
  );
  element.addEventListener("keydown", ({ key }) => key === "Escape" && element.blur());
  store.watch(
    ({ voice }) => [voice.quality, voice.status],
    ([quality, status]) => {
      element.hidden = !quality || status !== "connected";
      if (element.hidden) return;
      setData(element, "grade", quality.grade);
      element.setAttribute("aria-label", NAMES[quality.grade]);
      setText(title, NAMES[quality.grade]);
      setText(reasons, sentences(quality).join(" "));
    },
  );
  return element;
}

const BLAME = {
  mine: "It is your connection that makes it so.",
  theirs: "It is their connection that makes it so.",
};

const PICTURES = { camera: "Camera", screen: "Screen" };

/** [what, how much] for each figure of voice/reception.js that there is. */
function figuresOf({ lost, concealed, roundTrip, camera, screen }) {
  const pictures = Object.entries({ camera, screen }).filter(([, each]) => each?.width);
  return [
    ["Packet loss", percent.format(lost)],
    concealed > NOTABLE && ["Sound made up", percent.format(concealed)],
    roundTrip !== null && ["Round trip", `${Math.round(roundTrip * 1000)} ms`],
    ...pictures.flatMap(([kind, { width, height, fps, freezes, codec }]) => [
      [PICTURES[kind], `${width} × ${height}, ${fps} fps`],
      ["Freezes", freezes ? String(freezes) : "none"],
      codec && ["Codec", codec],
    ]),
  ].filter(Boolean);
}

function reasonsOf({ grade, blame, rate, camera, screen }) {
  const limits = new Set([camera, screen].map((each) => each?.limit));
  return [
    limits.has("bandwidth") && `Reduced because your network gives ${Math.round(rate)} kb/s.`,
    limits.has("source") && "They send no larger picture than this.",
    limits.has("codec") && "Your browser cannot show their format; another one is asked for.",
    blame ? BLAME[blame] : grade === "good" && "Nothing is wrong.",
  ].filter(Boolean);
}

/** The bars of one person, which open the reasons. `title`: what is judged, in words. Hidden while nothing of them is received. */
export function personQuality({ store }, sessionId, title) {
  const element = h(
    "button",
    { type: "button", class: "quality person-quality", testid: "person-quality", "aria-haspopup": "dialog", hidden: true },
    bars(),
  );
  const draw = ({ people }) => {
    const figures = people[sessionId];
    element.hidden = !figures;
    if (!figures) return;
    setData(element, "grade", figures.grade);
    element.setAttribute("aria-label", `${NAMES[figures.grade]}: ${title}`);
  };
  element.addEventListener("click", () => openReasons(store, sessionId, title, element));
  return { element, draw };
}

function openReasons(store, sessionId, title, opener) {
  const heading = h("strong", {});
  const reasons = h("ul", { class: "quality-reasons" });
  const figures = h("dl", { class: "quality-figures" });
  const content = h("div", { class: "quality-panel", tabIndex: -1, testid: "quality-panel" }, heading, reasons, figures);
  const stop = store.watch(
    ({ voice }) => voice.people[sessionId],
    (now) => {
      if (!now) return;
      setText(heading, NAMES[now.grade]);
      fill(reasons, reasonsOf(now).map((each) => h("li", {}, each)));
      fill(figures, figuresOf(now).map(([what, much]) => h("div", {}, h("dt", {}, what), h("dd", {}, much))));
    },
  );
  openPopover(opener, `Connection: ${title}`, content, stop);
  content.focus();
}
