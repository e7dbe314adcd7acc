/** Microphones, cameras and outputs: asking for one, which there are, and what went wrong, in words. */

const CONSTRAINTS = {
  microphone: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  camera: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
};

const KINDS = { microphone: "audio", camera: "video" };
const SYSTEM_KINDS = { microphone: "audioinput", camera: "videoinput", output: "audiooutput" };

const WORDS = {
  microphone: {
    insecure: "Browsers give a microphone only to pages on HTTPS or localhost. You can still join and listen.",
    denied: "The microphone is blocked for this page. Allow it in the address bar and try again, or join and listen.",
    missing: "No microphone was found. Plug one in and try again, or join and listen.",
    busy: "The microphone does not start: another program may be using it. Try again, or join and listen.",
  },
  camera: {
    insecure: "Browsers give a camera only to pages on HTTPS or localhost.",
    denied: "The camera is blocked for this page. Click the icon in the address bar, allow the camera, and try again.",
    missing: "No camera was found. Plug one in and try again.",
    busy: "The camera does not start: another program may be using it. Close that and try again.",
  },
};

const PROBLEMS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
};

/** `kind`: insecure, denied, missing or busy. */
export class DeviceProblem extends Error {
  constructor(device, kind) {
    super(WORDS[device][kind]);
    this.name = "DeviceProblem";
    this.kind = kind;
  }
}

/** Asks for the `device` ("microphone" or "camera") with that id, or for another one where it is gone. Throws `DeviceProblem`. */
export async function openDevice(device, id = null) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DeviceProblem(device, "insecure");
  // Exactly this one: as a mere ideal, a camera with a better picture would be preferred to the one that was chosen.
  const constraints = { ...CONSTRAINTS[device], ...(id && { deviceId: { exact: id } }) };
  try {
    return await navigator.mediaDevices.getUserMedia({ [KINDS[device]]: constraints });
  } catch (error) {
    const problem = PROBLEMS[error.name] ?? "busy";
    if (id && problem === "missing") return openDevice(device);
    throw new DeviceProblem(device, problem);
  }
}

/** Those there are: {microphone, camera, output}, each [{id, name}]. Without a permission they have no names and are left out. */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  const of = (kind) =>
    all.filter((each) => each.kind === kind && each.deviceId).map((each) => ({ id: each.deviceId, name: each.label }));
  return Object.fromEntries(Object.entries(SYSTEM_KINDS).map(([device, kind]) => [device, of(kind)]));
}

/** Calls `react` when devices come or go. Returns a function that ends it. */
export function onDevicesChange(react) {
  navigator.mediaDevices?.addEventListener?.("devicechange", react);
  return () => navigator.mediaDevices?.removeEventListener?.("devicechange", react);
}

/** Calls `react` when the device of `track` goes away. Returns a function that ends it. */
export function onLost(track, react) {
  const kind = `${track.kind}input`;
  // Not every browser ends the track of a device that is gone.
  const look = async () => {
    const { deviceId, groupId } = track.getSettings();
    const devices = await navigator.mediaDevices.enumerateDevices();
    const isOurs = (each) => (groupId ? each.groupId === groupId : each.deviceId === deviceId) || !each.deviceId;
    if (!devices.some((each) => each.kind === kind && isOurs(each))) lost();
  };
  let over = false;
  const stopLooking = onDevicesChange(look);
  const lost = () => {
    if (!over) react();
  };
  track.addEventListener("ended", lost);
  return () => {
    over = true;
    stopLooking();
    track.removeEventListener("ended", lost);
  };
}
