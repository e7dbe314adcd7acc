/** The servers one is in, as a column of tiles. */

import { h, reconcile, setData } from "../dom.js";
import { icon } from "../icons.js";
import { avatar } from "./avatar.js";
import { newServerDialog } from "./dialogs.js";

export function rail(app) {
  const { store, actions } = app;
  const list = h("ul", {});
  const add = h(
    "button",
    { type: "button", class: "tile tile-new", testid: "new-server", title: "New server", "aria-label": "New server" },
    icon("plus"),
  );
  add.addEventListener("click", () => newServerDialog(app));

  store.watch(
    ({ guilds, place, unread }) => [guilds, place, unread],
    ([guilds, place, unread]) =>
      reconcile(list, Object.values(guilds), {
        key: ({ server }) => server.server_id,
        create: ({ server }) => {
          const tile = h(
            "button",
            { type: "button", class: "tile", title: server.name, "aria-label": server.name },
            avatar(server.server_id, server.name, "server"),
          );
          tile.addEventListener("click", () => actions.open(server.server_id));
          return h("li", {}, tile);
        },
        update: (element, { server, channels }) => {
          const current = server.server_id === place.serverId;
          const waiting = Object.keys(channels).some((id) => unread[id]);
          const tile = element.firstElementChild;
          if (current) tile.setAttribute("aria-current", "true");
          else tile.removeAttribute("aria-current");
          tile.setAttribute("aria-label", waiting ? `${server.name}, unread messages` : server.name);
          setData(element, "unread", waiting);
        },
      }),
  );
  return h("nav", { class: "rail", "aria-label": "Servers" }, list, add);
}
