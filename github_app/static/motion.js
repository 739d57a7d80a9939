// Telemetry into motion: frames come about ten times a second, each with the ticks since the last one. What is
// drawn runs a moment behind the newest tick, so that there is one on either side to draw between.

import { Pendulum, wrapped } from "./pendulum.js";

const BEHIND_S = 0.05;
const AHEAD_S = 0.15; // drawn on with the last speed where a frame is late
const KEPT_S = 10;
const STILL_S = 3; // without frames
const CALM_MS = 250; // between two pictures for who asked for less motion

export class Motion {
  constructor() {
    this.section = document.getElementById("motion");
    this.pendulum = new Pendulum();
    this.angle = document.getElementById("strip-angle");
    this.drive = document.getElementById("strip-torque");
    this.samples = [];
    this.running = false;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.drawn = 0;
  }

  /** A `telemetry` message. */
  add(frame) {
    const [t, theta, speed, torque, reward] = ["t", "theta", "theta_dot", "applied", "return"].map((name) =>
      frame.columns.indexOf(name));
    if (t < 0 || theta < 0) return; // another kind of robot
    const here = performance.now() / 1000;
    for (const row of frame.rows) {
      if (row[t] === null || row[theta] === null) continue;
      this.push({
        t: row[t],
        theta: row[theta],
        speed: row[speed] ?? 0,
        torque: row[torque] ?? 0,
        reward: row[reward] ?? null,
      }, frame.session);
    }
    const newest = this.samples.at(-1);
    if (!newest) return;
    // The least delay seen is the clocks' difference; it may creep, since clocks drift.
    this.lag = Math.min(here - newest.t, (this.lag ?? Infinity) + 0.0005);
    this.heard = here;
    this.section.hidden = false;
    this.start();
  }

  push(sample, session) {
    const last = this.samples.at(-1);
    if (session !== this.session || (last && sample.t <= last.t)) {
      if (session === this.session && last.t - sample.t < 1) return; // again, or late
      this.samples = [];
      this.session = session;
      this.lag = Infinity;
    }
    const before = this.samples.at(-1);
    if (before) sample.theta = before.theta + wrapped(sample.theta - before.theta);
    this.samples.push(sample);
    while (this.samples[0].t < sample.t - KEPT_S) this.samples.shift();
  }

  start() {
    if (this.running) return;
    this.running = true;
    requestAnimationFrame((now) => this.step(now));
  }

  /** Nothing more will come. */
  stop() {
    this.running = false;
    this.section.dataset.state = "still";
    document.getElementById("motion-title").textContent = "The last ten seconds, as they were seen live";
  }

  step(now) {
    if (!this.running) return;
    const here = now / 1000;
    this.section.dataset.state = here - this.heard > STILL_S ? "still" : "moving";
    if (here - this.heard > STILL_S) {
      this.running = false;
      return;
    }
    if (!this.calm.matches || now - this.drawn > CALM_MS) {
      this.drawn = now;
      this.pendulum.draw(this.at(here - this.lag - BEHIND_S));
      this.drawStrip();
    }
    requestAnimationFrame((next) => this.step(next));
  }

  /** The state at a time, between two ticks or a little beyond the last. */
  at(t) {
    const { samples } = this;
    let index = samples.length - 1;
    while (index > 0 && samples[index].t > t) index -= 1;
    const from = samples[index];
    const to = samples[index + 1];
    const ahead = Math.max(0, t - from.t);
    if (!to) return { ...from, theta: from.theta + from.speed * Math.min(ahead, AHEAD_S) };
    const share = Math.min(1, ahead / (to.t - from.t));
    return { ...from, theta: from.theta + share * (to.theta - from.theta) };
  }

  drawStrip() {
    const { samples } = this;
    const end = samples.at(-1);
    if (end === this.stripEnd) return;
    this.stripEnd = end;
    const x = (sample) => (600 * (1 - (end.t - sample.t) / KEPT_S)).toFixed(1);
    let angle = "";
    let drive = "";
    let side = null;
    for (const sample of samples) {
      const theta = wrapped(sample.theta);
      // The line is lifted where the angle jumps from one side to the other.
      const pen = side === null || Math.abs(theta - side) > Math.PI ? "M" : "L";
      angle += `${pen}${x(sample)} ${(60 - (theta / Math.PI) * 56).toFixed(1)}`;
      drive += `${drive ? "H" + x(sample) + "V" : "M" + x(sample) + " "}${(60 - sample.torque * 26).toFixed(1)}`;
      side = theta;
    }
    this.angle.setAttribute("d", angle);
    this.drive.setAttribute("d", drive);
  }
}
