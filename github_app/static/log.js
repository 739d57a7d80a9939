// The log: lines that arrive, the lines before them, search, groups and sticky follow.

const NEAR_END = 48; // pixels from the end that still count as being there
const LINES_MAX = 20_000; // beyond this the oldest go; they can be shown again

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
    this.at = -1;
    this.end = Number(page.dataset.cursor.split(".")[2]); // offset after the last byte shown
    this.open = null; // the last line, where its end has not come yet
    this.fold = null; // the group that lines belong to now
    for (const line of this.box.children) this.adopt(line);
    this.wire();
  }

  wire() {
    document.getElementById("log-tools").hidden = false;
    this.earlier.hidden = this.first <= 1;
    this.earlier.addEventListener("click", () => this.back());
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.jump(event.shiftKey ? -1 : 1);
    });
    this.followButton.addEventListener("click", () => this.following(!this.sticky));
    this.box.addEventListener("scroll", () => {
      const gap = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight;
      if (gap < NEAR_END !== this.sticky && this.box.scrollHeight > this.box.clientHeight) {
        this.following(gap < NEAR_END);
      }
    }, { passive: true });
  }

  /** Keep the newest line in sight, or no more. */
  following(on) {
    this.sticky = on;
    this.followButton.setAttribute("aria-pressed", String(on));
    if (on) this.box.scrollTop = this.box.scrollHeight;
  }

  /** A `log` message. */
  append(message) {
    if (message.attempt > this.attempt) this.clear(message);
    if (message.attempt < this.attempt || message.offset < this.end) return; // seen
    const fresh = document.createDocumentFragment();
    let number = message.line;
    for (const line of message.lines) {
      if (this.open && number === this.openNumber) this.open.append(...runs(line));
      else fresh.append(this.element(line, number));
      number += 1;
    }
    this.show(fresh);
    this.open = message.open ? this.box.lastElementChild : null;
    this.openNumber = number - 1;
    this.end = message.end;
  }

  show(fresh) {
    const added = [...fresh.children];
    this.box.append(fresh);
    this.box.hidden = false;
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
      const { start, lines } = await answer.json();
      const first = this.first - lines.length;
      const fresh = document.createDocumentFragment();
      lines.forEach((line, index) => fresh.append(element(line, first + index)));
      const bottom = this.box.scrollHeight - this.box.scrollTop;
      this.box.prepend(fresh);
      this.box.scrollTop = this.box.scrollHeight - bottom;
      this.begins(start, start === 0 ? 1 : first);
      this.earlier.textContent = "Show earlier lines";
      this.regroup();
      if (this.search.value) this.find();
    } catch {
      this.earlier.textContent = "That did not work: try again";
    } finally {
      this.earlier.disabled = false;
    }
  }

  element(line, number) {
    const made = element(line, number);
    this.adopt(made);
    return made;
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
      this.at = -1;
    }
    if (wanted) {
      for (const line of among ?? this.box.children) {
        const text = line.textContent.slice(line.firstChild.textContent.length).toLowerCase();
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
    else this.count.textContent = this.at < 0 ? `${length} lines` : `${this.at + 1} of ${length}`;
  }

  jump(step) {
    if (!this.hits.length) return;
    this.hits[this.at]?.classList.remove("here");
    this.at = this.at < 0 && step < 0 ? this.hits.length - 1 : (this.at + step + this.hits.length) % this.hits.length;
    const line = this.hits[this.at];
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
  button.append(...[...line.childNodes].slice(1));
  line.append(button);
  button.addEventListener("click", () => {
    fold.open = !fold.open;
    button.setAttribute("aria-expanded", String(fold.open));
    for (const each of fold.lines) each.hidden = !fold.open;
  });
}
