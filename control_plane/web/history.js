/**
 * What is known of one channel's messages. Message ids sort by time, as text too.
 *
 * messages: oldest first, without a gap · complete: whether the first of them is the first of the channel · loaded: whether the
 * newest are known · loading: "newest", "older" or null · error: why loading failed, in words · outbox: what is being sent
 */

export const EMPTY = Object.freeze({
  messages: Object.freeze([]),
  outbox: Object.freeze([]),
  complete: false,
  loaded: false,
  loading: null,
  error: null,
});

/** Both lists without repetition. The later one wins, as it is the fresher. */
function merge(known, fresh) {
  const byId = new Map(known.map((each) => [each.message_id, each]));
  for (const each of fresh) byId.set(each.message_id, each);
  return [...byId.values()].sort((a, b) => (a.message_id < b.message_id ? -1 : 1));
}

/** A message that was announced, or the answer to sending one. */
export function withMessage(history, message, ownId) {
  const last = history.messages.at(-1);
  const messages =
    !last || last.message_id < message.message_id ? [...history.messages, message] : merge(history.messages, [message]);
  const mine = message.nonce && message.user_id === ownId;
  const outbox = mine ? history.outbox.filter((draft) => draft.nonce !== message.nonce) : history.outbox;
  return { ...history, messages, outbox };
}

/** The newest page (newest first, as the server lists). What came before it is kept only if the two touch. */
export function withNewest(history, page, limit) {
  const touches = page.length < limit || history.messages.some((each) => each.message_id === page.at(-1).message_id);
  const since = page.at(-1)?.message_id ?? "";
  const kept = touches ? history.messages : history.messages.filter((each) => each.message_id > since);
  const complete = page.length < limit || (touches && history.complete);
  return { ...history, messages: merge(kept, page), complete, loaded: true, loading: null, error: null };
}

/** A page that ends before the first message known. */
export function withOlder(history, page, limit) {
  return {
    ...history,
    messages: merge(history.messages, page),
    complete: page.length < limit,
    loading: null,
    error: null,
  };
}

export function withDraft(history, draft) {
  const others = history.outbox.filter((each) => each.nonce !== draft.nonce);
  return { ...history, outbox: [...others, draft].sort((a, b) => a.order - b.order) };
}

export function withoutDraft(history, nonce) {
  return { ...history, outbox: history.outbox.filter((each) => each.nonce !== nonce) };
}
