// Keeps the part of a page that changes fresh, without losing what somebody is typing outside of it.
"use strict";

const PERIOD_MS = 1500;

async function refresh() {
  const old = document.getElementById("live");
  if (!old || old.dataset.live !== "yes") return;
  if (!document.hidden && !old.contains(document.activeElement)) {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer && answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh && fresh.innerHTML !== old.innerHTML) {
        const open = [...old.querySelectorAll("details")].map((it) => it.open);
        fresh.querySelectorAll("details").forEach((it, i) => { if (i in open) it.open = open[i]; });
        old.replaceWith(fresh);
      }
    }
  }
  setTimeout(refresh, PERIOD_MS);
}

setTimeout(refresh, PERIOD_MS);
