// The replay: one clock that drives pendulum, readings, charts, log and address, and everything that moves the clock.

import { Charts, library } from "./charts.js";
import { Pendulum } from "./pendulum.js";
import { load } from "./recording.js";

const TEXT = "input:not([type=range]), textarea, select, [contenteditable]";
const PRESSED = "button, a, summary, select"; // what Space acts on itself
const TOLD_MS = 300; // between two changes of the address

const byId = (id) => document.getElementById(id);

export class Replay {
  /** @param {LogView} log marks the lines of the moment */
  constructor(log) {
    this.log = log;
    this.section = byId("motion");
    this.player = byId("player");
    this.range = byId("seek");
    this.pendulum = new Pendulum();
    this.time = 0;
    this.speed = 1;
    this.playing = false;
    this.opened = 0;
    this.told = { at: 0, timer: 0 };
  }

  /** Take over the stage. `atEnd`: the run was just watched. */
  async open({ atEnd = false } = {}) {
    const asked = address();
    if (!(await this.session(asked.session))) return;
    this.wire();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (asked.t !== null) this.seek(asked.t, { tell: false });
    else if (atEnd) this.seek(this.recording.end, { tell: false });
    else if (!still && !location.hash && inView(this.player)) this.play();
  }

  /** Show a session; whether there is one. */
  async session(number) {
    const mine = (this.opened += 1);
    const [recording, uPlot] = await Promise.all([
      load(this.section.dataset.job, number).catch((error) => error),
      library(this.section.dataset.charts),
    ]);
    if (mine !== this.opened) return false; // another one was chosen meanwhile
    if (recording instanceof Error) {
      this.problem(`There is no replay: ${recording.message}.`);
      return false;
    }
    this.recording = recording;
    this.stage();
    if (uPlot) {
      this.charts ??= new Charts(byId("charts"), uPlot, (t) => this.seek(t));
      this.charts.show(recording);
    } else {
      this.plot();
    }
    this.seek(recording.start, { tell: false });
    this.section.dataset.state = "moving";
    return true;
  }

  /** Instead of charts, where the server was set up without their library. */
  plot() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "?dark=1" : "";
    const picture = new Image();
    picture.className = "plot";
    picture.alt = "What was measured and applied over time";
    picture.src = `/jobs/${this.section.dataset.job}/plot.svg${dark}`;
    byId("charts").replaceChildren(picture);
  }

  stage() {
    const { recording } = this;
    this.section.hidden = this.player.hidden = false;
    this.section.dataset.mode = "replay";
    byId("motion-title").textContent = "Replay";
    byId("strip").hidden = true;
    for (const id of ["charts", "transport", "keys", "replay-tools"]) byId(id).hidden = false;
    this.player.querySelector(".pendulum").toggleAttribute("hidden", !recording.pendulum);
    this.player.tabIndex = 0;
    this.player.setAttribute("role", "group");
    this.player.setAttribute("aria-label", "Replay");
    this.player.setAttribute("aria-describedby", "keys");
    byId("gap").hidden = !recording.ghost;
    byId("about").textContent = about(recording);
    byId("whole").textContent = recording.end.toFixed(2);
    Object.assign(this.range, { min: recording.start, max: recording.end });
    byId("animation").hidden = !recording.pendulum;
    byId("animation").href = byId("animation").href.replace(/\?.*|$/, recording.session ? `?session=${recording.session}` : "");
    this.offerSessions();
  }

  offerSessions() {
    const { session, sessions } = this.recording;
    byId("sessions").hidden = sessions < 2;
    byId("session").replaceChildren(...Array.from({ length: sessions }, (_, number) =>
      new Option(`${number + 1} of ${sessions}`, number, false, number === session)));
  }

  wire() {
    byId("play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.range.addEventListener("input", () => this.seek(this.range.valueAsNumber));
    byId("speed").addEventListener("change", (event) => { this.speed = Number(event.target.value); });
    byId("session").addEventListener("change", (event) => {
      this.pause();
      this.session(Number(event.target.value)).then((shown) => { if (shown) this.tell(); });
    });
    byId("moment").addEventListener("click", (event) => {
      event.preventDefault();
      this.pause();
      this.copy();
    });
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("hashchange", () => this.follow());
    this.log.replay((session, t) => this.go({ session, t }, { tell: true }));
  }

  play() {
    if (this.playing) return;
    if (this.time >= this.recording.end - 1e-6) this.show(this.recording.start);
    this.playing = true;
    this.label();
    let before = null;
    const step = (now) => {
      if (!this.playing) return;
      if (before !== null) this.show(this.time + ((now - before) / 1000) * this.speed);
      before = now;
      if (this.time >= this.recording.end) this.pause();
      else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.show(this.time, true);
    this.label();
    this.tell();
  }

  label() {
    byId("play-label").textContent = this.playing ? "Pause" : "Play";
    byId("play").dataset.playing = this.playing;
  }

  /** Go to a time; the address follows unless it was the address that asked. */
  seek(time, { tell = true } = {}) {
    this.show(time, true);
    if (tell) this.tell();
  }

  show(time, exactly = false) {
    const { recording } = this;
    this.time = Math.max(recording.start, Math.min(recording.end, time));
    const now = recording.at(this.time);
    this.pendulum.draw(now, exactly);
    this.charts?.move(this.time);
    // What was printed after the last tick belongs to the end.
    this.log.show(recording.session, this.time >= recording.end - 1e-6 ? Infinity : this.time);
    this.range.value = this.time;
    const text = this.time.toFixed(2);
    if (exactly || !this.playing || performance.now() - (this.written ?? 0) > 90) {
      this.written = performance.now();
      this.range.setAttribute("aria-valuetext", `${text} seconds`);
      byId("clock").textContent = text;
      byId("moment").href = this.hash();
    }
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    const { target } = event;
    const inside = this.player.contains(target);
    // With nothing in focus the keys are the replay's while it is in view, but for those that scroll to the ends.
    const free = target === document.body && inView(this.player) && !/Home|End/.test(event.key);
    if (!(inside || free) || target.matches(TEXT)) return;
    if (event.key === " " && target.matches(PRESSED)) return;
    const act = this.keys(event.shiftKey)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  keys(shift) {
    const step = (side) => {
      this.pause();
      // A step goes to the next row, from wherever between two rows the clock stands.
      const { t } = this.recording;
      const here = this.recording.index(this.time + 1e-6);
      const onto = side > 0 ? here + 1 : here - (this.time - t[here] < 1e-6 ? 1 : 0);
      this.seek(shift ? this.time + side : t[Math.max(0, Math.min(t.length - 1, onto))]);
    };
    return {
      " ": () => (this.playing ? this.pause() : this.play()),
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => this.seek(this.recording.start),
      End: () => { this.pause(); this.seek(this.recording.end); },
    };
  }

  hash() {
    const { session } = this.recording;
    return `#t=${this.time.toFixed(2)}${session ? `&session=${session}` : ""}`;
  }

  /** Write the moment into the address, not too often: browsers refuse that. */
  tell() {
    clearTimeout(this.told.timer);
    const wait = Math.max(0, this.told.at + TOLD_MS - performance.now());
    this.told.timer = setTimeout(() => {
      this.told.at = performance.now();
      history.replaceState(history.state, "", this.hash());
    }, wait);
  }

  async copy() {
    this.tell();
    const link = byId("moment");
    const said = await navigator.clipboard?.writeText(new URL(this.hash(), location.href).href)
      .then(() => "Copied", () => null) ?? "It is in the address";
    link.textContent = said;
    setTimeout(() => { link.textContent = "Link to this moment"; }, 2000);
  }

  /** The address names a moment: somebody followed a link on this page, or went back. */
  async follow() {
    const asked = address();
    if (asked.t === null || !(await this.go(asked))) return;
    this.player.scrollIntoView({ block: "nearest" });
  }

  /** Go to a moment of a session; whether there is that session. */
  async go({ session, t }, { tell = false } = {}) {
    this.pause();
    clearTimeout(this.told.timer);
    if (session !== this.recording.session && !(await this.session(session))) return false;
    this.seek(t, { tell });
    return true;
  }

  problem(sentence) {
    const line = byId("replay-problem");
    line.textContent = sentence;
    line.hidden = this.section.hidden = false;
  }
}

/** What the address asks for: `#t=3.42`, `#t=3.42&session=1`. */
function address() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const t = Number.parseFloat(asked.get("t"));
  const session = Number.parseInt(asked.get("session") ?? "0", 10);
  return { t: Number.isFinite(t) ? t : null, session: session > 0 ? session : 0 };
}

function inView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return Math.min(bottom, innerHeight) - Math.max(top, 0) > Math.min(160, (bottom - top) / 2);
}

function about({ ghost, robot, every, dt, ticks, simulated }) {
  const parts = [];
  if (ghost) {
    const rms = ghost.rms === null ? "" : `; ${ghost.ahead_s} s ahead it is off by ${ghost.rms.toFixed(3)} rad (root mean square)`;
    parts.push(`The pale ghost is the simulation of ${robot} under the same applied torque, begun anew from the measurement every ${ghost.every_s} s${rms}.`);
  }
  if (every > 1) parts.push(`Of ${ticks} ticks of ${dt} s every ${every}th is shown; trajectory.csv has all of them.`);
  if (simulated) parts.push("This robot is simulated.");
  return parts.join(" ");
}
