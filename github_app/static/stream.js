// A stream of server-sent events that goes on where it was, whatever ended it: the server's restart, the
// network, a proxy. The browser reconnects by itself with the last id; where it gives up (an answer that is
// an error), this asks again with `?after=`.

const SLOWEST_MS = 30_000;

/**
 * @param {string} url where the stream is
 * @param {string} cursor the id after which to begin, or ""
 * @param {Object<string, (data: any) => void>} handlers by the name of the event
 * @param {(state: "live" | "away") => void} told whenever the connection comes or goes
 * @returns {() => void} ends it
 */
export function follow(url, cursor, handlers, told) {
  let source = null;
  let last = cursor;
  let timer = 0;
  let pause = 1000;

  function open() {
    source = new EventSource(last ? `${url}?after=${encodeURIComponent(last)}` : url);
    source.onopen = () => { pause = 1000; told("live"); };
    source.onerror = () => {
      told("away");
      if (source.readyState === EventSource.CLOSED) {
        timer = setTimeout(open, pause + Math.random() * 500);
        pause = Math.min(pause * 2, SLOWEST_MS);
      }
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) last = event.lastEventId;
        handle(JSON.parse(event.data));
      });
    }
  }

  function close() {
    clearTimeout(timer);
    source?.close();
  }

  open();
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  return close;
}

/** Tells in words whether the page is live. */
export function linkState(element) {
  return (state) => {
    element.hidden = false;
    element.dataset.state = state;
    element.textContent = state === "live" ? "Live" : "Reconnecting…";
  };
}
