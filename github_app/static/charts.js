// The charts of a replay, one below the other over the same time. uPlot draws them; one line through all of them is
// the moment that is shown, and dragging it chooses another.

const HEIGHT = 86;
const AXIS = 26;
const DEGREES = 180 / Math.PI;

/** uPlot, fetched when it is first needed; null where it was not set up. */
export function library(url) {
  if (window.uPlot) return Promise.resolve(window.uPlot);
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(window.uPlot ?? null);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
}

export class Charts {
  /**
   * @param {HTMLElement} box where they go
   * @param {Function} uPlot the library
   * @param {(t: number) => void} seek called with the time that was chosen
   */
  constructor(box, uPlot, seek) {
    Object.assign(this, { box, uPlot, seek, plots: [], now: 0 });
    new ResizeObserver(() => this.fit()).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show(this.recording));
  }

  /** Draw a recording, instead of what was there. */
  show(recording) {
    if (!recording) return;
    for (const { plot } of this.plots) plot.destroy();
    this.recording = recording;
    this.box.replaceChildren();
    const parts = recording.pendulum ? pendulumParts(recording) : otherParts(recording);
    this.plots = parts.map((part, index) => this.draw(part, index === parts.length - 1));
    this.fit();
  }

  draw(part, last) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.append(strong(part.title), ...part.lines.map(key));
    if (part.marks?.some(Boolean)) caption.append(key({ label: "late", kind: "late" }));
    const place = document.createElement("div");
    place.className = "chart";
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${part.title} over time, ${spoken(part)}`);
    figure.append(caption, place);
    this.box.append(figure);
    const plot = new this.uPlot(this.options(part, last), [this.recording.t, ...part.lines.map((line) => line.values)], place);
    const line = document.createElement("div");
    line.className = "moment";
    plot.over.append(line);
    this.drag(plot);
    return { plot, line, last };
  }

  options(part, last) {
    const colour = colours();
    const { start, end } = this.recording;
    const axis = {
      stroke: colour.soft,
      font: "12px system-ui, sans-serif",
      grid: { stroke: colour.line, width: 1 },
      ticks: { show: false },
    };
    return {
      width: 300,
      height: HEIGHT,
      padding: [6, 10, last ? 0 : 4, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [start, end > start ? end : start + 1] }, y: { range: part.range } },
      axes: [
        { ...axis, size: last ? AXIS : 0, values: (_, values) => values.map((value) => (last ? `${value} s` : "")) },
        { ...axis, size: 46, space: 20, splits: part.splits, values: (_, values) => values.map((value) => String(value).replace("-", "−")) },
      ],
      series: [{}, ...part.lines.map((line) => ({
        stroke: colour[line.colour],
        width: line.width ?? 1.6,
        dash: line.dash,
        points: { show: false },
        paths: line.steps ? this.uPlot.paths.stepped({ align: 1 }) : undefined,
        gaps: (plot, series, from, to, gaps) => this.gaps(plot, line, from, to, gaps),
      }))],
      hooks: {
        drawClear: [(plot) => band(plot, part.band, colour)],
        draw: [(plot) => late(plot, this.recording.t, part.marks, colour)],
      },
    };
  }

  /** The line is lifted where an angle passes the bottom, an episode begins, or a ghost starts anew. */
  gaps(plot, line, from, to, gaps) {
    const { t, columns: { episode } } = this.recording;
    const at = (index) => plot.valToPos(t[index], "x", true);
    const side = (line.width ?? 1.6) * devicePixelRatio; // half of what a steep stroke would leave standing
    const lifted = [];
    for (let index = Math.max(1, from); index <= to; index += 1) {
      const [before, value] = [line.values[index - 1], line.values[index]];
      const jumps = line.turns && Math.abs(value - before) > 180;
      if (jumps || line.anew?.(index) || episode[index] !== episode[index - 1]) lifted.push([at(index - 1) - (jumps ? side : 0), at(index) + (jumps ? side : 0)]);
    }
    return [...gaps, ...lifted].sort((a, b) => a[0] - b[0]);
  }

  /** Show a moment. */
  move(t) {
    this.now = t;
    for (const { plot, line } of this.plots) line.style.transform = `translateX(${plot.valToPos(t, "x")}px)`;
  }

  fit() {
    const width = this.box.clientWidth;
    if (!width) return;
    for (const { plot, last } of this.plots) plot.setSize({ width, height: HEIGHT + (last ? AXIS : 0) });
    this.move(this.now);
  }

  drag(plot) {
    const choose = (event) => {
      const { left, width } = plot.over.getBoundingClientRect();
      const x = Math.max(0, Math.min(width, event.clientX - left));
      this.seek(plot.posToVal(x, "x"));
    };
    plot.over.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      plot.over.setPointerCapture(event.pointerId);
      choose(event);
    });
    plot.over.addEventListener("pointermove", (event) => {
      if (plot.over.hasPointerCapture(event.pointerId)) choose(event);
    });
  }
}

function pendulumParts(recording) {
  const { columns, ghost, upright_band } = recording;
  const degrees = (values) => values.map((value) => (value === null ? null : value * DEGREES));
  const angle = [{ label: "measured", values: degrees(columns.theta), colour: "angle", turns: true }];
  if (ghost) {
    const restart = (index) => recording.anew(index);
    angle.unshift({ label: "ghost", values: degrees(ghost.theta), colour: "ghost", turns: true, anew: restart, width: 3.5, kind: "ghost" });
  }
  return [
    { title: "Angle, °", lines: angle, range: [-190, 190], splits: () => [-180, -90, 0, 90, 180], band: upright_band * DEGREES },
    { title: "Speed, rad/s", lines: [{ label: "measured", values: columns.theta_dot, colour: "angle" }], range: even(4) },
    torquePart("Torque", columns.action, columns.applied, columns.late),
    rewardPart(columns.reward),
  ];
}

function otherParts({ columns }) {
  const others = Object.keys(columns).filter((name) => !/^(t|reward|return|late|episode|action.*|applied.*)$/.test(name));
  const lines = others.map((name) => ({ title: name, lines: [{ label: "measured", values: columns[name], colour: "angle" }], range: roomy }));
  const actions = Object.keys(columns).filter((name) => name.startsWith("action"));
  const drives = actions.map((name) =>
    torquePart(name, columns[name], columns[name.replace("action", "applied")], columns.late));
  return [...lines, ...drives, rewardPart(columns.reward)];
}

const torquePart = (title, action, applied, marks) => ({
  title,
  marks,
  range: even(2.2),
  lines: [
    { label: "desired", values: action, colour: "edge", dash: [4, 3], width: 1.2, steps: true, kind: "desired" },
    { label: "applied", values: applied, colour: "torque", steps: true, kind: "drive" },
  ].filter((line) => line.values),
});

const rewardPart = (values) => ({ title: "Reward a step", lines: [{ label: "measured", values, colour: "good", kind: "reward" }], range: roomy });

/** A range the same above and below zero, so much at least. */
const even = (least) => (_, low, high) => {
  const size = Math.max(least, Math.abs(low ?? 0), Math.abs(high ?? 0)) * 1.05;
  return [-size, size];
};

function roomy(_, low, high) {
  const room = Math.max(0.05, ((high ?? 1) - (low ?? 0)) * 0.08);
  return [(low ?? 0) - room, (high ?? 1) + room];
}

function band(plot, size, colour) {
  if (!size) return;
  const { ctx, bbox } = plot;
  const [top, bottom] = [size, -size].map((value) => plot.valToPos(value, "y", true));
  ctx.save();
  ctx.fillStyle = colour["good-tint"];
  ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  ctx.restore();
}

/** A small triangle at the foot of the chart for every tick whose action came late. */
function late(plot, t, marks, colour) {
  if (!marks) return;
  const { ctx, bbox } = plot;
  const size = 4 * devicePixelRatio;
  const foot = bbox.top + bbox.height;
  ctx.save();
  ctx.fillStyle = colour.bad;
  marks.forEach((is, index) => {
    if (!is) return;
    const x = plot.valToPos(t[index], "x", true);
    ctx.beginPath();
    ctx.moveTo(x, foot - size * 1.8);
    ctx.lineTo(x - size, foot);
    ctx.lineTo(x + size, foot);
    ctx.fill();
  });
  ctx.restore();
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["soft", "line", "edge", "angle", "torque", "ghost", "good", "bad", "good-tint"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function strong(text) {
  const made = document.createElement("b");
  made.textContent = text;
  return made;
}

function key({ label, kind = "angle" }) {
  const made = document.createElement("span");
  made.className = `key ${kind}`;
  made.textContent = label;
  return made;
}

function spoken({ lines }) {
  const values = lines.at(-1).values.filter((value) => value !== null);
  const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
  return `between ${low.toFixed(1)} and ${high.toFixed(1)}`;
}
