/** One observable state tree. What is in it is never changed in place: a new object says that something is new. */

export class Store {
  #state;
  #watchers = new Set();
  #scheduled = false;

  constructor(state) {
    this.#state = state;
  }

  get state() {
    return this.#state;
  }

  /** `change(state)` returns the parts that differ (or nothing). Watchers run soon after, once for many changes. */
  change(change) {
    const patch = typeof change === "function" ? change(this.#state) : change;
    if (!patch) return;
    this.#state = { ...this.#state, ...patch };
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const watcher of [...this.#watchers]) watcher();
    });
  }

  /** Calls `react(selected)` now and whenever what `select(state)` returns differs; an array differs if one of its items does. */
  watch(select, react) {
    let seen = select(this.#state);
    const watcher = () => {
      const now = select(this.#state);
      if (same(seen, now)) return;
      seen = now;
      react(now);
    };
    this.#watchers.add(watcher);
    react(seen);
    return () => this.#watchers.delete(watcher);
  }

  /** Resolves when `select(state)` is truthy, or to undefined after `milliseconds`. */
  until(select, milliseconds) {
    return new Promise((resolve) => {
      let stop = () => {};
      const timer = setTimeout(() => finish(undefined), milliseconds);
      const finish = (value) => {
        clearTimeout(timer);
        resolve(value);
        queueMicrotask(() => stop());
      };
      stop = this.watch(select, (value) => value && finish(value));
    });
  }
}

function same(a, b) {
  if (!Array.isArray(a) || !Array.isArray(b)) return Object.is(a, b);
  return a.length === b.length && a.every((each, index) => Object.is(each, b[index]));
}
