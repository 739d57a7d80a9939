// The queue's page, live: each message is the whole content as it is now.

import { follow, linkState } from "./stream.js";

const content = document.getElementById("queue");

follow(content.dataset.events, "", {
  queue({ html }) {
    const focused = document.activeElement?.getAttribute?.("href");
    content.innerHTML = html;
    if (focused) content.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  },
}, linkState(document.getElementById("link")));
