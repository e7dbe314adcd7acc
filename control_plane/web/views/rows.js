/** From messages to the rows of the list: day dividers, and messages that belong to the one above. */

const TOGETHER_MS = 7 * 60_000; // a pause longer than this begins anew

const dayOf = (time) => `${time.getFullYear()}-${time.getMonth()}-${time.getDate()}`;

/**
 * Rows {key, kind: "day", time} and {key, kind: "message", message, draft, head}. `head`: whether author and time stand above it.
 * A message keeps the key its draft had. `user`: oneself, the author of the drafts.
 */
export function rowsOf({ messages, outbox }, user) {
  const rows = [];
  let above = null;
  const add = (message, draft) => {
    const time = new Date(message.timestamp);
    const day = dayOf(time);
    if (day !== above?.day) rows.push({ key: `day-${day}`, kind: "day", time });
    const head = day !== above?.day || above.author !== message.user_id || time - above.time > TOGETHER_MS;
    const key = message.nonce && message.user_id === user?.user_id ? `nonce-${message.nonce}` : message.message_id;
    rows.push({ key, kind: "message", message, draft, head });
    above = { day, time, author: message.user_id };
  };
  for (const message of messages) add(message, null);
  for (const draft of outbox) {
    add(
      { user_id: user?.user_id, author: user, content: draft.content, timestamp: draft.time, nonce: draft.nonce },
      draft,
    );
  }
  return rows;
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

export const clockTime = (time) => clock.format(time);
export const fullTime = (time) => full.format(time);

export function dayName(time, now = new Date()) {
  if (dayOf(time) === dayOf(now)) return "Today";
  if (dayOf(time) === dayOf(new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1))) return "Yesterday";
  return date.format(time);
}
