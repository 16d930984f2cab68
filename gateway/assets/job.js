// Follows a job's live events: appends its log, and loads the page once more when it is over.
"use strict";
(() => {
  const job = document.getElementById("job");
  const log = document.getElementById("log");
  const state = document.getElementById("state");
  let [attempt, offset] = job.dataset.from.split(".").map(Number);
  const query = new URLSearchParams({ from: job.dataset.from });
  if (job.dataset.key) query.set("key", job.dataset.key);
  const events = new EventSource(`/api/v1/jobs/${job.dataset.id}/events?${query}`);

  const follows = () => window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;

  events.addEventListener("log", (event) => {
    const piece = JSON.parse(event.data);
    const [of, end] = event.lastEventId.split(".").map(Number);
    if (of !== attempt) {
      log.textContent = "";
      attempt = of;
      offset = 0;
    }
    if (end <= offset) return;
    offset = end;
    const atEnd = follows();
    const span = document.createElement("span");
    span.className = piece.source;
    span.textContent = piece.text;
    log.append(span);
    if (atEnd) window.scrollTo(0, document.body.scrollHeight);
  });

  events.addEventListener("state", (event) => {
    const now = JSON.parse(event.data);
    state.textContent = now.state;
    state.className = `state ${now.state}`;
    if (now.state === "finish" || now.state === "error") {
      events.close();
      location.reload();
    }
  });
})();
