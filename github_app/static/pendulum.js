// The pendulum as an SVG: a rod at θ (0 upright, counter-clockwise positive) and an arc for the applied torque,
// a quarter turn long at full torque, as raas_gym.render draws them.

const TORQUE_MAX = 2;
const RADIUS = 104;
const TURN = 2 * Math.PI;

const byId = (id) => document.getElementById(id);

/** θ in (-π, π]. */
export function wrapped(theta) {
  return theta - TURN * Math.ceil((theta - Math.PI) / TURN);
}

/** Draws one moment. */
export class Pendulum {
  constructor() {
    this.svg = byId("pendulum");
    this.rod = byId("rod");
    this.ghost = byId("ghost");
    this.gap = byId("read-gap");
    this.arc = byId("torque");
    this.head = byId("torque-head");
    this.outputs = ["t", "theta", "speed", "torque", "return"].map((name) => byId(`read-${name}`));
    this.written = 0;
  }

  /**
   * @param {{t: number, theta: number, speed: number, torque: number, reward: number, ghost?: number, gap?: number}} now
   *   SI units; `ghost` is the simulation's angle, `gap` how far it is off
   * @param {boolean} exactly write the numbers too, however soon after the last ones
   */
  draw(now, exactly = false) {
    this.rod.setAttribute("transform", turn(now.theta));
    const haunted = typeof now.ghost === "number";
    this.ghost.toggleAttribute("hidden", !haunted);
    if (haunted) this.ghost.setAttribute("transform", turn(now.ghost));
    this.drawTorque(now.torque);
    this.svg.dataset.t = now.t.toFixed(3);
    if (exactly || performance.now() - this.written > 90) this.write(now);
  }

  drawTorque(torque) {
    const share = Math.max(-1, Math.min(1, torque / TORQUE_MAX));
    const sweep = (share * TURN) / 4;
    if (Math.abs(share) < 0.01) {
      this.arc.setAttribute("d", "");
      this.head.setAttribute("d", "");
      return;
    }
    const [x, y] = onRim(sweep);
    const side = sweep > 0 ? 0 : 1;
    this.arc.setAttribute("d", `M0 ${-RADIUS}A${RADIUS} ${RADIUS} 0 0 ${side} ${x} ${y}`);
    const [tipX, tipY] = onRim(sweep + Math.sign(sweep) * 0.11);
    const [inX, inY] = onRim(sweep, RADIUS - 9);
    const [outX, outY] = onRim(sweep, RADIUS + 9);
    this.head.setAttribute("d", `M${tipX} ${tipY}L${inX} ${inY}L${outX} ${outY}Z`);
  }

  write(now) {
    this.written = performance.now();
    const texts = [
      now.t.toFixed(1),
      ((wrapped(now.theta) * 360) / TURN).toFixed(0),
      now.speed.toFixed(1),
      now.torque.toFixed(2),
      now.reward === null ? "–" : now.reward.toFixed(0),
    ];
    this.gap.textContent = typeof now.gap === "number" ? now.gap.toFixed(3).replace("-", "−") : "–";
    this.outputs.forEach((output, index) => { output.textContent = texts[index].replace("-", "−"); });
  }
}

const turn = (theta) => `rotate(${(-theta * 360) / TURN})`;

function onRim(angle, radius = RADIUS) {
  return [(-Math.sin(angle) * radius).toFixed(2), (-Math.cos(angle) * radius).toFixed(2)];
}
