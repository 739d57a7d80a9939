// A session's recording in the browser: what was measured at any time, between two ticks too.

import { wrapped } from "./pendulum.js";

/** The recording of a session; throws an Error that says what is wrong. */
export async function load(job, session) {
  const answer = await fetch(`/api/v1/jobs/${job}/trajectory?session=${session}`);
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.message ?? "the server does not answer as it should; reload the page");
  return new Recording(data);
}

export class Recording {
  constructor(data) {
    Object.assign(this, data); // names as in the API: robot, passport, dt, every, columns, ghost, …
    this.step = data.dt * data.every;
    this.t = data.columns.t.map((t, index) => t ?? index * this.step);
    this.start = this.t[0];
    this.end = this.t.at(-1);
    this.pendulum = "theta" in data.columns && "applied" in data.columns;
  }

  /** The last row at or before a time. */
  index(time) {
    let low = 0;
    let high = this.t.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.t[middle] <= time + 1e-9) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** What to draw at a time: angles turn on between ticks, torque holds. */
  at(time) {
    const index = this.index(time);
    const next = Math.min(index + 1, this.t.length - 1);
    const { theta, theta_dot, applied, episode } = this.columns;
    const same = episode[index] === episode[next];
    const share = same && next > index ? Math.max(0, (time - this.t[index]) / (this.t[next] - this.t[index])) : 0;
    const between = (values) => {
      const [from, to] = [values?.[index] ?? 0, values?.[next] ?? 0];
      return { from, to, value: from + share * wrapped(to - from) };
    };
    return {
      t: time,
      theta: between(theta).value,
      speed: theta_dot?.[index] ?? 0,
      torque: applied?.[index] ?? 0,
      reward: this.columns.return[index],
      ghost: this.ghostAt(index, next, share),
      gap: this.ghost?.error[index] ?? null,
    };
  }

  ghostAt(index, next, share) {
    const theta = this.ghost?.theta;
    if (!theta || theta[index] === null) return null;
    // Where it starts anew at the next row, it goes on as it went until then.
    if (theta[next] === null || this.anew(next)) {
      const before = index > 0 && !this.anew(index) ? theta[index - 1] : null;
      return before === null ? theta[index] : theta[index] + share * wrapped(theta[index] - before);
    }
    return theta[index] + share * wrapped(theta[next] - theta[index]);
  }

  /** Whether the ghost starts from the measurement at this row or since the one before. */
  anew(index) {
    if (index === 0) return true;
    const strand = (at) => Math.floor((this.t[at] - this.start) / this.ghost.every_s + 1e-6);
    return strand(index) !== strand(index - 1) || this.columns.episode[index] !== this.columns.episode[index - 1];
  }
}
