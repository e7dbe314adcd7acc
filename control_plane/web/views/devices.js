/** Which microphone, camera and output one uses, tried before anybody hears or sees it. */

import { h, setData, setText } from "../dom.js";
import { Camera } from "../voice/camera.js";
import { DeviceProblem, listDevices, onDevicesChange } from "../voice/devices.js";
import { Microphone } from "../voice/microphone.js";
import { canChooseOutput } from "../voice/playback.js";
import { openDialog } from "./dialog.js";
import { button, choice, problemLine } from "./form.js";

const LOUD = 0.25; // root mean square at which the meter is full: a shout

/** Camera, microphone and output with what they do just now. */
export function settingsDialog(app) {
  const microphone = microphonePart(app);
  const camera = cameraPart(app);
  const output = canChooseOutput() ? outputPart(app) : null;
  const show = button("small", "Show preview", { testid: "show-preview" });
  show.addEventListener("click", () => {
    show.hidden = true;
    camera.start();
  });
  const parts = [microphone, output, camera].filter(Boolean);
  open("Voice and video", parts, [microphone.element, output?.element, camera.element, h("div", { class: "buttons" }, show)]);
  microphone.start();
}

/** What one will look like; the camera is turned on when one says so. */
export function cameraDialog(app) {
  const { call, store } = app;
  const camera = cameraPart(app);
  const always = h("input", { type: "checkbox", class: "check", checked: !store.state.devices.skipPreview });
  always.addEventListener("change", () => call.choose({ skipPreview: !always.checked }));
  const go = button("primary", "Turn camera on", { testid: "turn-camera-on" });
  go.addEventListener("click", async () => {
    go.disabled = true;
    camera.problem.say("");
    camera.close(); // some systems give a camera only once
    try {
      await call.openCamera();
      close();
    } catch (error) {
      if (!(error instanceof DeviceProblem)) throw error;
      camera.problem.say(error.message);
    } finally {
      go.disabled = false;
    }
  });
  const footer = h(
    "div",
    { class: "dialog-footer" },
    h("label", { class: "check-label" }, always, "Always show this first"),
    go,
  );
  const close = open("Your camera", [camera], [camera.element, footer]);
  go.focus();
  camera.start();
}

/** What the dock's button does: off at once, on after a look at oneself unless one does not want that. */
export async function toggleCamera(app) {
  const { voice, devices } = app.store.state;
  if (voice.own.camera) return app.call.closeCamera();
  if (!devices.skipPreview) return cameraDialog(app);
  try {
    return await app.call.openCamera();
  } catch (error) {
    if (!(error instanceof DeviceProblem)) throw error;
    return app.notices.show(error.message, { wrong: true });
  }
}

function open(title, parts, content) {
  const element = h("div", { class: "devices" }, content);
  const list = async () => {
    const devices = await listDevices();
    for (const part of parts) part.offer(devices);
  };
  const forget = onDevicesChange(list);
  for (const part of parts) part.onopened = list; // with the permission come the names
  list();
  const close = openDialog(title, element);
  element.closest("dialog").addEventListener("close", () => {
    forget();
    for (const part of parts) part.close();
  });
  return close;
}

/** Something that is opened to be tried. `open(id)` → it, which has a `track` and `close()`; `show(it)`, null when it is closed. */
function part({ device, label, app, open: openIt, show, content, hint }) {
  const { store, call } = app;
  const problem = problemLine();
  let tried = null;
  let turn = 0;
  const picker = choice({
    label,
    testid: `choose-${device}`,
    onchange: async (id) => {
      await call.choose({ [device]: id });
      if (tried || !problem.element.hidden) self.start();
    },
  });
  const self = {
    element: h("div", { class: "device-part" }, content, picker.element, hint, problem.element),
    problem,
    onopened: () => {},
    offer: (devices) => {
      const chosen = tried?.track.getSettings().deviceId ?? store.state.devices[device];
      const named = devices[device].map((each, index) => ({ ...each, name: each.name || `${label} ${index + 1}` }));
      picker.offer(named, chosen);
    },
    async start() {
      self.close();
      const mine = turn;
      problem.say("");
      try {
        const opened = await openIt(store.state.devices[device] ?? null, () => self.start());
        if (mine !== turn) return opened.close();
        tried = opened;
        show(tried);
        return self.onopened();
      } catch (error) {
        if (!(error instanceof DeviceProblem)) throw error;
        return mine === turn && problem.say(error.message);
      }
    },
    close() {
      turn += 1;
      tried?.close();
      tried = null;
      show(null);
    },
  };
  return self;
}

function cameraPart(app) {
  const video = h("video", { class: "preview-picture", autoplay: true, playsinline: true, testid: "camera-preview" });
  video.muted = true;
  const empty = h("p", { class: "preview-empty" }, "No picture yet");
  return part({
    device: "camera",
    label: "Camera",
    app,
    content: h("div", { class: "preview" }, empty, video),
    open: (id, onlost) => Camera.open(id, onlost),
    show: (camera) => {
      video.srcObject = camera && new MediaStream([camera.track]);
      setData(video, "shown", camera !== null);
    },
  });
}

function microphonePart(app) {
  const filled = h("span", { class: "meter-filled" });
  const range = { "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 };
  const meter = h("div", { class: "meter", role: "meter", "aria-label": "How loud you are", testid: "meter", ...range }, filled);
  const said = h("p", { class: "note" }, "Say something: the bar moves when you are heard.");
  let frame = 0;
  const follow = (microphone) => {
    // Ears and eyes are logarithmic; a linear bar would hardly move.
    const level = Math.min(1, Math.max(0, 1 + Math.log10(Math.max(microphone.level, 1e-5) / LOUD) / 2));
    filled.style.setProperty("--level", level.toFixed(3));
    meter.setAttribute("aria-valuenow", String(Math.round(100 * level)));
    frame = requestAnimationFrame(() => follow(microphone));
  };
  return part({
    device: "microphone",
    label: "Microphone",
    app,
    hint: h("div", { class: "meter-row" }, meter, said),
    open: (id, onlost) => Microphone.open(id, onlost),
    show: (microphone) => {
      cancelAnimationFrame(frame);
      if (microphone) follow(microphone);
      else filled.style.setProperty("--level", "0");
    },
  });
}

/** There is nothing to open: one hears it in the call, and with the button. */
function outputPart({ call, store }) {
  let chosen = store.state.devices.output ?? null;
  const note = h("p", { class: "note", role: "status" });
  const picker = choice({
    label: "Output",
    testid: "choose-output",
    onchange: (id) => {
      chosen = id;
      call.choose({ output: id });
    },
  });
  const ring = button("small", "Play a sound", {
    on: {
      click: async () => {
        const heard = await chime(chosen);
        setText(note, heard ? "" : "The browser does not play there. Choose another output.");
      },
    },
  });
  return {
    element: h("div", { class: "device-part" }, h("div", { class: "beside" }, picker.element, ring), note),
    offer: ({ output }) => picker.offer(output.map((each, index) => ({ ...each, name: each.name || `Output ${index + 1}` })), chosen),
    close: () => {},
  };
}

/** Two soft notes. Resolves to whether the output could be had. */
async function chime(output) {
  const context = new AudioContext();
  try {
    if (output && output !== "default") await context.setSinkId(output);
    const gain = new GainNode(context, { gain: 0 });
    const begin = context.currentTime;
    for (const [index, frequency] of [523.25, 783.99].entries()) {
      const note = new OscillatorNode(context, { frequency });
      note.connect(gain);
      note.start(begin + 0.18 * index);
      note.stop(begin + 0.18 * index + 0.3);
    }
    gain.gain.linearRampToValueAtTime(0.15, begin + 0.03);
    gain.gain.linearRampToValueAtTime(0, begin + 0.5);
    gain.connect(context.destination);
    setTimeout(() => context.close(), 800);
    return true;
  } catch {
    context.close();
    return false;
  }
}
