// A job's page, live: verdict and timeline, motion, log, and the results when it is over.

import { LogView } from "./log.js";
import { Motion } from "./motion.js";
import { Replay } from "./replay.js";
import { follow, linkState } from "./stream.js";

const page = document.getElementById("job");
const view = new LogView(page);

if (page.dataset.over !== "true") watch();
else if (document.getElementById("motion").dataset.replayable === "true") new Replay(view).open();

function watch() {
  const link = document.getElementById("link");
  const motion = new Motion();
  view.following(!location.hash);
  const stop = follow(`/api/v1/jobs/${page.dataset.job}/events`, page.dataset.cursor, {
    head: ({ html }) => {
      document.getElementById("head").innerHTML = html;
      document.title = `${document.querySelector("h1").textContent} · RaaS`;
    },
    state: () => {}, // its words come with `head`
    log: (message) => view.append(message),
    telemetry: (frame) => motion.add(frame),
    end: ({ results }) => {
      stop();
      motion.stop();
      document.getElementById("results").innerHTML = results;
      page.dataset.over = "true";
      if (document.querySelector('#results a[href$="trajectory.npz"]')) new Replay(view).open({ atEnd: true });
      link.hidden = true;
    },
  }, linkState(link));
}
