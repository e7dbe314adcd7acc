/** Who is in the server. */

import { h, reconcile, setText } from "../dom.js";
import { icon } from "../icons.js";
import { membersOf } from "../state.js";
import { avatar } from "./avatar.js";

export function memberList({ store }) {
  const title = h("h2", {});
  const list = h("ul", { testid: "members" });
  store.watch(
    (state) => {
      const guild = state.guilds[state.place.serverId];
      return [guild?.members, guild?.voice, state.user];
    },
    ([members, voice, user]) => {
      if (!members) return reconcile(list, [], {});
      const guild = store.state.guilds[store.state.place.serverId];
      const talking = new Set(Object.values(voice).map((each) => each.user_id));
      const everyone = membersOf(guild);
      setText(title, `${everyone.length} ${everyone.length === 1 ? "member" : "members"}`);
      return reconcile(list, everyone, {
        key: (member) => member.user.user_id,
        create: ({ user: { user_id: id, username } }) => {
          const tags = [id === guild.server.owner_id && "owner", id === user?.user_id && "you"]
            .filter(Boolean)
            .join(", ");
          const voiceMark = h(
            "span",
            { class: "in-voice", role: "img", "aria-label": "in voice", hidden: true },
            icon("voice"),
          );
          const text = h("div", { class: "member-text" }, h("span", {}, username), tags && h("small", {}, tags));
          return h("li", { class: "member", data: { user: username } }, avatar(id, username), text, voiceMark);
        },
        update: (element, member) => {
          element.querySelector(".in-voice").hidden = !talking.has(member.user.user_id);
        },
      });
    },
  );
  return h("aside", { class: "members", "aria-label": "Members", id: "members" }, title, list);
}
