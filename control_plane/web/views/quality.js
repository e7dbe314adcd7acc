/** The three bars of the call bar, and in words why they are as they are. */

import { h, setData, setText } from "../dom.js";

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

export function qualitySign({ store }) {
  const title = h("strong", {});
  const reasons = h("span", {});
  const tip = h("span", { class: "tip", role: "tooltip", id: "quality-reasons" }, title, reasons);
  const bars = h("span", { class: "bars", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
  const element = h(
    "button",
    { type: "button", class: "quality", testid: "quality", "aria-describedby": tip.id, hidden: true },
    bars,
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
