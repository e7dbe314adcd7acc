/**
 * What the browser remembers: the token, the place one was in, how loud one wants others, which devices,
 * the theme. Where storage is forbidden, nothing outlives the page.
 */

const PREFIX = "chorale.";
const fallback = new Map();

function read(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return fallback.get(name) ?? null;
  }
}

function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    fallback.set(name, value);
  }
}

export const token = { get: () => read("token"), set: (value) => write("token", value) };

/** The place to come back to: of one server, or (without a server) of all. */
export const lastPlace = {
  get: (serverId = "") => read(`last.${serverId}`),
  set(serverId, channelId) {
    write("last.", serverId);
    if (channelId) write(`last.${serverId}`, channelId);
  },
};

/** How one wants to hear others: by user id, {volume, silenced}. */
export const loudness = {
  get() {
    try {
      return JSON.parse(read("loudness")) ?? {};
    } catch {
      return {};
    }
  },
  set: (value) => write("loudness", Object.keys(value).length ? JSON.stringify(value) : null),
};

/** What one chose: {microphone, camera, output} by id of the device, and skipPreview. What is not there was never chosen. */
export const devices = {
  get() {
    try {
      return JSON.parse(read("devices")) ?? {};
    } catch {
      return {};
    }
  },
  set: (value) => write("devices", JSON.stringify(value)),
};

/** A sentence to show after the page has been loaded again. */
export const farewell = {
  take() {
    const text = read("farewell");
    write("farewell", null);
    return text;
  },
  leave: (text) => write("farewell", text),
};

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

/** The system's, until one is chosen. */
export const theme = {
  get isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : systemIsDark.matches;
  },
  toggle() {
    const chosen = theme.isDark ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    write("theme", chosen);
  },
  onSystemChange: (react) => systemIsDark.addEventListener("change", react),
};

/** Nothing of this account stays behind. */
export function clear() {
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(PREFIX) && name !== `${PREFIX}theme`) localStorage.removeItem(name);
    }
  } catch {
    fallback.clear();
  }
}

/** Calls `react` when another window of this browser signed out or in. */
export function onTokenElsewhere(react) {
  addEventListener("storage", ({ key, newValue }) => {
    if (key === `${PREFIX}token` || key === null) react(key === null ? null : newValue);
  });
}
