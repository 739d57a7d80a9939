// The log: lines that arrive, the lines before them, search, groups, sticky follow, and the lines of a moment.

const NEAR_END = 48; // pixels from the end that still count as being there
const LINES_MAX = 20_000; // beyond this the oldest go; they can be shown again
const LIT_MAX = 200; // lines of one moment that are marked

export class LogView {
  /** @param {HTMLElement} page the job's element, with where its excerpt begins */
  constructor(page) {
    this.job = page.dataset.job;
    this.attempt = Number(page.dataset.attempt);
    this.start = Number(page.dataset.start);
    this.first = Number(page.dataset.line);
    this.box = document.getElementById("log");
    this.none = document.getElementById("log-none");
    this.before = document.getElementById("log-before");
    this.earlier = document.getElementById("log-earlier");
    this.search = document.getElementById("log-search");
    this.count = document.getElementById("log-count");
    this.followButton = document.getElementById("log-follow");
    this.hits = [];
    this.hit = -1;
    this.marks = []; // from a line on: when it was written; only the first line of each moment has one
    this.now = null; // the mark of the replay's cursor
    this.lit = [];
    this.replaying = false;
    this.chosen = null; // called with session and time, where somebody chose a line's
    this.end = Number(page.dataset.cursor.split(".")[2]); // offset after the last byte shown
    this.open = null; // the last line, where its end has not come yet
    this.fold = null; // the group that lines belong to now
    for (const line of this.box.children) {
      this.adopt(line);
      if ("t" in line.dataset) this.found(line);
    }
    this.wire();
  }

  wire() {
    document.getElementById("log-tools").hidden = this.box.hidden;
    this.earlier.hidden = this.first <= 1;
    this.earlier.addEventListener("click", () => this.back());
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.jump(event.shiftKey ? -1 : 1);
    });
    this.followButton.addEventListener("click", () => this.following(!this.sticky));
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.box.addEventListener("click", (event) => {
      const link = event.target.closest("a.at");
      if (!link || !this.chosen || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const { session, t } = link.parentElement.dataset;
      this.chosen(Number(session), Number(t));
    });
  }

  /** A line that came with the page says from when on it was written. */
  found(line) {
    const { session, t } = line.dataset;
    const before = this.marks.at(-1);
    const fresh = mark(line, t ? [session, t] : []);
    follow(before, fresh);
    this.marks.push(fresh);
  }

  /** Somebody who scrolls by hand is left alone; scrolling to the end of a live log follows it again. */
  scrolled() {
    if (this.replaying) {
      if (this.sticky && Math.abs(this.box.scrollTop - this.placed) > 2) this.following(false);
      return;
    }
    const gap = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight;
    if (gap < NEAR_END !== this.sticky && this.box.scrollHeight > this.box.clientHeight) {
      this.following(gap < NEAR_END);
    }
  }

  /** Keep the newest line, or the replay's moment, in sight; or no more. */
  following(on) {
    this.sticky = on;
    this.followButton.setAttribute("aria-pressed", String(on));
    if (!on) return;
    if (this.replaying) this.reveal();
    else this.box.scrollTop = this.box.scrollHeight;
  }

  /** A replay takes over: from now on its cursor says which lines are now. */
  replay(chosen) {
    this.replaying = true;
    this.chosen = chosen;
    this.placed = this.box.scrollTop;
    if (this.marks.some((each) => each.t !== null)) this.following(!location.hash.startsWith("#L"));
  }

  /** Mark what was printed last at a moment of a session. */
  show(session, t) {
    const now = this.last(session, t);
    if (now === this.now) return;
    this.now = now;
    for (const line of this.lit) line.classList.remove("now");
    this.lit = now ? lines(now, LIT_MAX) : [];
    for (const line of this.lit) line.classList.add("now");
    if (this.sticky) this.reveal();
  }

  /** The last mark at or before a moment. */
  last(session, t) {
    let [low, high] = [0, this.marks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = this.marks[middle];
      if (at.session < session || (at.session === session && (at.order <= t + 1e-6))) low = middle + 1;
      else high = middle;
    }
    let index = low - 1;
    while (index >= 0 && this.marks[index].t === null) index -= 1;
    return index >= 0 && this.marks[index].session === session ? this.marks[index] : null;
  }

  /** Scroll the log, never the page, to the lines that are now. */
  reveal() {
    const [line] = this.lit;
    if (!line || line.hidden) return;
    const { box } = this;
    const top = line.offsetTop;
    const bottom = Math.min(this.lit.at(-1).offsetTop + line.offsetHeight, top + box.clientHeight / 2);
    if (top < box.scrollTop + line.offsetHeight || bottom > box.scrollTop + box.clientHeight - line.offsetHeight) {
      box.scrollTop = top - box.clientHeight / 3;
    }
    this.placed = box.scrollTop;
  }

  /** A `log` message. */
  append(message) {
    if (message.attempt > this.attempt) this.clear(message);
    if (message.attempt < this.attempt || message.offset < this.end) return; // seen
    const fresh = document.createDocumentFragment();
    const moments = spread(message);
    let number = message.line;
    message.lines.forEach((line, index) => {
      if (this.open && number === this.openNumber) this.open.append(...runs(line));
      else {
        const made = element(line, number);
        stamp(made, moments[index], this.marks);
        this.adopt(made);
        fresh.append(made);
      }
      number += 1;
    });
    this.add(fresh);
    this.open = message.open ? this.box.lastElementChild : null;
    this.openNumber = number - 1;
    this.end = message.end;
  }

  add(fresh) {
    const added = [...fresh.children];
    this.box.append(fresh);
    this.box.hidden = document.getElementById("log-tools").hidden = false;
    this.box.classList.toggle("timed", this.marks.length > 0);
    this.none.hidden = true;
    if (this.search.value) this.find(added);
    let excess = this.box.childElementCount - LINES_MAX;
    if (excess > 0) this.forget(excess);
    if (this.sticky) this.box.scrollTop = this.box.scrollHeight;
  }

  /** Another attempt's log begins. */
  clear(message) {
    this.attempt = message.attempt;
    this.box.replaceChildren();
    this.hits = [];
    this.marks = [];
    this.open = this.fold = null;
    this.end = message.offset;
    this.begins(message.offset, message.line);
  }

  begins(offset, line) {
    this.start = offset;
    this.first = line;
    this.before.hidden = this.earlier.hidden = line <= 1;
    document.getElementById("log-first").textContent = line;
  }

  forget(excess) {
    while (excess > 0) {
      this.box.firstElementChild.remove();
      excess -= 1;
    }
    this.marks = this.marks.filter(({ line }) => line.isConnected);
    // Where its bytes begin is not known any more: the whole log still has them.
    this.first = Number(this.box.firstElementChild.id.slice(1));
    this.begins(null, this.first);
    this.earlier.hidden = true;
  }

  /** Show the lines before the first. */
  async back() {
    this.earlier.disabled = true;
    try {
      const answer = await fetch(`/api/v1/jobs/${this.job}/lines?attempt=${this.attempt}&before=${this.start}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const earlier = await answer.json();
      const first = this.first - earlier.lines.length;
      const fresh = document.createDocumentFragment();
      const [marks, moments] = [[], spread(earlier)];
      earlier.lines.forEach((line, index) => {
        const made = element(line, first + index);
        stamp(made, moments[index], marks);
        fresh.append(made);
      });
      const bottom = this.box.scrollHeight - this.box.scrollTop;
      this.box.prepend(fresh);
      this.box.scrollTop = this.box.scrollHeight - bottom;
      this.placed = this.box.scrollTop;
      this.begins(earlier.start, earlier.start === 0 ? 1 : first);
      if (marks.length && this.marks.length) marks.at(-1).next = this.marks[0].line;
      this.marks = [...marks, ...this.marks];
      this.box.classList.toggle("timed", this.marks.length > 0);
      this.earlier.textContent = "Show earlier lines";
      this.regroup();
      if (this.search.value) this.find();
    } catch {
      this.earlier.textContent = "That did not work: try again";
    } finally {
      this.earlier.disabled = false;
    }
  }

  /** Groups are after the fact: a line belongs to the group that was begun last. */
  adopt(line) {
    if (line.classList.contains("group")) {
      this.fold = { lines: [], open: true };
      foldable(line, this.fold);
    } else if (line.classList.contains("endgroup")) {
      this.fold = null;
    } else if (this.fold) {
      this.fold.lines.push(line);
      line.classList.add("inside");
      line.hidden = !this.fold.open;
    }
  }

  regroup() {
    this.fold = null;
    for (const line of this.box.children) this.adopt(line);
  }

  find(among = null) {
    const wanted = this.search.value.toLowerCase();
    if (!among) {
      for (const line of this.hits) line.classList.remove("hit", "here");
      this.hits = [];
      this.hit = -1;
    }
    if (wanted) {
      for (const line of among ?? this.box.children) {
        const text = content(line).map((node) => node.textContent).join("").toLowerCase();
        if (text.includes(wanted)) {
          line.classList.add("hit");
          this.hits.push(line);
        }
      }
    }
    this.tell();
  }

  tell() {
    const { length } = this.hits;
    if (!this.search.value) this.count.textContent = "";
    else if (!length) this.count.textContent = "nothing";
    else this.count.textContent = this.hit < 0 ? `${length} lines` : `${this.hit + 1} of ${length}`;
  }

  jump(step) {
    if (!this.hits.length) return;
    this.hits[this.hit]?.classList.remove("here");
    this.hit = this.hit < 0 && step < 0 ? this.hits.length - 1 : (this.hit + step + this.hits.length) % this.hits.length;
    const line = this.hits[this.hit];
    line.hidden = false;
    line.classList.add("here");
    this.following(false);
    line.scrollIntoView({ block: "center" });
    this.tell();
  }
}

function element(line, number) {
  const made = document.createElement("span");
  made.className = line.kind ? `line ${line.kind}` : "line";
  made.id = `L${number}`;
  const anchor = document.createElement("a");
  anchor.href = `#L${number}`;
  anchor.setAttribute("aria-label", `line ${number}`);
  anchor.textContent = number;
  made.append(anchor, ...runs(line));
  return made;
}

/** What a line says: all but its number and its time. */
function content(line) {
  return [...line.childNodes].filter((node) => node.nodeName !== "A");
}

/** The moment of each line of a message: `times` only tells where it changes. */
function spread({ lines: { length }, times = [] }) {
  const changes = new Map(times.map(([index, ...moment]) => [index, moment]));
  let moment = [];
  return Array.from({ length }, (_, index) => (moment = changes.get(index) ?? moment));
}

/** Put its time onto a line, unless it is that of the line before. */
function stamp(line, moment, marks) {
  const before = marks.at(-1);
  const fresh = mark(line, moment);
  if (before ? before.t === fresh.t && (fresh.t === null || before.session === fresh.session) : fresh.t === null) return;
  follow(before, fresh);
  marks.push(fresh);
  if (fresh.t === null) return;
  Object.assign(line.dataset, { t: fresh.t, session: fresh.session });
  const link = document.createElement("a");
  link.className = "at";
  link.href = `#t=${fresh.t.toFixed(2)}${fresh.session ? `&session=${fresh.session}` : ""}`;
  link.setAttribute("aria-label", `at ${fresh.t.toFixed(2)} seconds`);
  link.textContent = fresh.t.toFixed(2);
  line.firstElementChild.after(link);
}

/** From a line on, what follows was written then: `[session, t]`, or nobody knows. */
function mark(line, [session = 0, t = null]) {
  const time = t === null ? null : Number(t);
  return { line, session: Number(session), t: time, order: time ?? -1, next: null };
}

/** Marks are in order, for they are searched; where nobody knows, the order stays. */
function follow(before, fresh) {
  if (!before) return;
  before.next = fresh.line;
  if (fresh.t === null) fresh.session = before.session;
  if (fresh.session === before.session) fresh.order = Math.max(fresh.order, before.order);
}

/** The lines of a mark. */
function lines({ line, next }, most) {
  const found = [];
  for (let each = line; each && each !== next && found.length < most; each = each.nextElementSibling) found.push(each);
  return found;
}

/** A line's text as nodes: what a program printed is only ever text. */
function runs(line) {
  if (typeof line === "string") return [line];
  return line.runs.map(([text, style]) => {
    if (!style) return text;
    const run = document.createElement("span");
    run.className = style;
    run.textContent = text;
    return run;
  });
}

function foldable(line, fold) {
  line.querySelector("button")?.replaceWith(...line.querySelector("button").childNodes);
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-expanded", "true");
  button.append(...content(line));
  line.append(button);
  button.addEventListener("click", () => {
    fold.open = !fold.open;
    button.setAttribute("aria-expanded", String(fold.open));
    for (const each of fold.lines) each.hidden = !fold.open;
  });
}
