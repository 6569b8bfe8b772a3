// The page's behaviour. What changes something is a call of the API, with the session's word; what is shown is always text, never HTML of others.
"use strict";
(function () {
  const WORD = "ecloud-word", THEME = "ecloud-theme";
  const $ = (selector, from) => (from || document).querySelector(selector);
  const all = (selector, from) => [...(from || document).querySelectorAll(selector)];

  // ---- words for people -------------------------------------------------------------------------------------------
  let clearing = 0;
  function say(text, wrong) {
    const place = $(wrong ? "#alarm" : "#said"), other = $(wrong ? "#said" : "#alarm");
    other.textContent = "";
    place.textContent = text;
    clearTimeout(clearing);
    clearing = setTimeout(() => { place.textContent = ""; }, wrong ? 15000 : 6000);
  }
  function span(seconds) {
    seconds = Math.max(0, seconds);
    if (seconds < 0.95) return (seconds * 1000).toFixed(0) + " ms";
    if (seconds < 10) return seconds.toFixed(1) + " s";
    seconds = Math.round(seconds);
    for (const [unit, name, below, small] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
      if (seconds >= unit) {
        const rest = Math.floor((seconds % unit) / below);
        return Math.floor(seconds / unit) + " " + name + (rest ? " " + rest + " " + small : "");
      }
    }
    return seconds + " s";
  }
  function clocks(from) {
    const now = Date.now() / 1000;
    for (const one of all("[data-at]", from)) one.textContent = new Date(one.dataset.at * 1000).toLocaleString();
    for (const one of all("[data-ago]", from)) {
      const past = now - one.dataset.ago;
      one.textContent = past < 5 ? "just now" : span(past).replace(/ \d+ s$/, "") + " ago";
    }
    for (const one of all("[data-since]", from)) one.textContent = span(now - one.dataset.since);
    for (const one of all("[data-until]", from)) one.textContent = one.dataset.until > now ? "in " + span(one.dataset.until - now) : "passed";
  }

  // ---- the API ----------------------------------------------------------------------------------------------------
  function toLogIn() {
    localStorage.removeItem(WORD);
    const here = location.pathname + location.search;
    location.assign("/login" + (here === "/" || location.pathname === "/login" ? "" : "?next=" + encodeURIComponent(here)));
  }
  async function call(method, url, body) {
    const headers = { "X-Ecloud-Word": localStorage.getItem(WORD) || "" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin" });
    } catch (error) {
      throw new Error("The boss does not answer. It is not known whether it happened: look, then try again.");
    }
    let said = {};
    try { said = await answer.json(); } catch (error) { /* no words */ }
    if (answer.status === 401) { toLogIn(); throw new Error(said.error || "log in again"); }
    if (!answer.ok) {
      const problems = (said.problems || []).map((one) => one.field + ": " + one.message).join("; ");
      throw new Error(said.error || problems || "The boss refused (" + answer.status + ").");
    }
    return said;
  }
  function counted(said) {
    const done = said.done || [];
    for (const name of ["cancelled", "redone", "retried"]) {
      const count = done.reduce((sum, one) => sum + (one[name] || 0), 0);
      if (done.some((one) => name in one)) return count.toLocaleString() + (count === 1 ? " task " : " tasks ");
    }
    return "";
  }
  function agreed(text) {
    const box = $("#ask");
    $("#ask-text").textContent = text;
    box.returnValue = "no";
    box.showModal();
    return new Promise((done) => box.addEventListener("close", () => done(box.returnValue === "yes"), { once: true }));
  }
  async function act(button) {
    if (button.dataset.confirm && !(await agreed(button.dataset.confirm))) return;
    button.disabled = true;
    try {
      const body = button.dataset.method === "DELETE" ? undefined : JSON.parse(button.dataset.body);
      const said = await call(button.dataset.method, button.dataset.url, body);
      const count = counted(said);
      say(count ? count + button.dataset.done : button.dataset.done.charAt(0).toUpperCase() + button.dataset.done.slice(1));
      if (button.classList.contains("reload")) location.reload(); else refresh();
    } catch (error) {
      say(error.message, true);
    } finally {
      button.disabled = false;
    }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.act");
    if (button) act(button);
    const copy = event.target.closest(".copy");
    if (copy && navigator.clipboard) navigator.clipboard.writeText(copy.textContent).then(() => say("Copied"));
  });
  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.classList && event.target.classList.contains("copy")) { event.preventDefault(); event.target.click(); }
  });

  // ---- what is live -----------------------------------------------------------------------------------------------
  const PATIENCE = 4;
  let stream = null, asking = false, again = false, rest = 0, later = 0;
  function openDetails(part) { return all("details[open]", part).map((one) => one.id).filter(Boolean); }
  async function refresh() {
    if (!document.body.dataset.parts) return;
    if (asking) { again = true; return; }
    if (performance.now() < rest) { clearTimeout(later); later = setTimeout(refresh, rest - performance.now() + 10); return; }
    asking = true;
    const begun = performance.now();
    try {
      const answer = await fetch(location.pathname + location.search, { credentials: "same-origin", headers: { "HX-Request": "true" } });
      if (answer.status === 401) { toLogIn(); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const selector of document.body.dataset.parts.split(",")) {
        const old = $(selector), next = $(selector, fresh);
        if (!old || !next || old.dataset.last === next.innerHTML) continue;
        const focused = old.contains(document.activeElement) ? document.activeElement : null;
        if (focused && focused.matches("input, select, textarea")) continue; // somebody is writing here
        const kept = { id: focused && focused.id, x: old.scrollLeft, y: old.scrollTop, open: openDetails(old) };
        next.dataset.last = next.innerHTML;
        old.replaceWith(next);
        clocks(next);
        fit(next);
        next.scrollLeft = kept.x;
        next.scrollTop = kept.y;
        for (const id of kept.open) { const one = document.getElementById(id); if (one) one.open = true; }
        if (kept.id && document.getElementById(kept.id)) document.getElementById(kept.id).focus({ preventScroll: true });
      }
      const head = $("#head"), log = $("[data-log]");
      if (log && !following && head && head.dataset.final === "no") follow(log); // it runs again
      document.dispatchEvent(new CustomEvent("ecloud:fresh"));
    } catch (error) {
      /* the boss is away: the stream says so, and comes back by itself */
    } finally {
      asking = false;
      rest = performance.now() + PATIENCE * (performance.now() - begun); // a page that is dear is asked for less often
      if (again) { again = false; refresh(); }
    }
  }
  function pulse(on) {
    const place = $("#pulse");
    if (!place) return;
    place.classList.toggle("off", !on);
    $(".word", place).textContent = on ? "live" : "not live";
  }
  function listen() {
    const url = document.body.dataset.live;
    if (!url || stream || document.hidden) return;
    stream = new EventSource(url);
    stream.addEventListener("hello", () => { pulse(true); refresh(); }); // something may have changed since the page was written
    stream.addEventListener("change", refresh);
    stream.addEventListener("quiet", refresh);
    stream.onerror = () => {
      pulse(false);
      if (stream && stream.readyState === EventSource.CLOSED) { hush(); refresh(); setTimeout(listen, 3000); }
    };
  }
  function hush() { if (stream) stream.close(); stream = null; }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hush(); else { listen(); refresh(); }
  });

  // ---- a log, as it is written -----------------------------------------------------------------------------------
  const LONGEST = 400000;
  let following = false;
  function follow(place) {
    following = true;
    const reading = new EventSource(place.dataset.log);
    let attempt = 0;
    reading.onmessage = (event) => {
      const said = JSON.parse(event.data);
      if ("end" in said) {
        reading.close();
        following = false;
        const state = $("#log-state");
        if (state) state.textContent = "ended: " + said.end;
        refresh();
        return;
      }
      if (said.attempt !== attempt) {
        attempt = said.attempt;
        for (const one of all("pre", place)) one.textContent = "";
      }
      const pre = $('[data-stream="' + (said.stream === "stderr" ? "stderr" : "stdout") + '"]', place), box = pre.parentElement;
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      pre.append(said.data);
      if (pre.textContent.length > LONGEST) pre.textContent = "…" + pre.textContent.slice(-LONGEST / 2);
      if (atEnd) box.scrollTop = box.scrollHeight;
    };
    reading.onerror = () => { if (reading.readyState === EventSource.CLOSED) { const state = $("#log-state"); if (state) state.textContent = "not live: reload the page"; } };
    window.addEventListener("pagehide", () => reading.close());
  }

  // ---- the graph's size -------------------------------------------------------------------------------------------
  let zoom = 0; // 0: fits
  function fit(from) {
    const svg = $("svg.graph", from || document);
    if (!svg) return;
    const natural = Number(svg.dataset.width), room = svg.closest(".canvas").clientWidth - 14;
    const scale = zoom || Math.max(0.7, Math.min(1, room / natural));
    const box = svg.viewBox.baseVal;
    svg.setAttribute("width", box.width * scale);
    svg.setAttribute("height", box.height * scale);
    svg.dataset.scale = scale;
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (!button) return;
    const scale = Number($("svg.graph") ? $("svg.graph").dataset.scale : 1);
    zoom = button.dataset.zoom === "fit" ? 0 : Math.min(3, Math.max(0.15, scale * (button.dataset.zoom === "in" ? 1.25 : 0.8)));
    fit();
  });

  // ---- forms ------------------------------------------------------------------------------------------------------
  async function logIn(form) {
    const token = form.token.value.trim(), wrong = $("#wrong");
    wrong.textContent = "";
    let answer, said = {};
    try {
      answer = await fetch("/api/v1/session", { method: "POST", headers: { Authorization: "Bearer " + token }, credentials: "same-origin" });
      said = await answer.json();
    } catch (error) { wrong.textContent = "The boss does not answer."; return; }
    if (!answer.ok) { wrong.textContent = said.error || "That is no valid token."; form.token.select(); return; }
    localStorage.setItem(WORD, said.word);
    const next = new URLSearchParams(location.search).get("next") || "/";
    let place = new URL("/", location.origin);
    try { place = new URL(next, location.origin); } catch (error) { /* stays at the overview */ }
    location.replace(place.origin === location.origin && place.pathname.indexOf("//") !== 0 ? place.pathname + place.search : "/");
  }
  async function submitted(form, method, url, body, done) {
    const button = $("button[type=submit]", form);
    button.disabled = true;
    try { const said = await call(method, url, body); if (done) done(said); } catch (error) { say(error.message, true); } finally { button.disabled = false; }
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id === "log-in") { event.preventDefault(); logIn(form); }
    if (form.classList.contains("poolform")) {
      event.preventDefault();
      submitted(form, "PUT", "/api/v1/pools/" + encodeURIComponent(form.dataset.pool), { minimum: Number(form.minimum.value), maximum: Number(form.maximum.value) },
        (said) => say("Pool " + said.name + ": from " + said.minimum + " to " + said.maximum + " VMs"));
    }
    if (form.classList.contains("morework")) {
      event.preventDefault();
      submitted(form, "POST", "/api/v1/workers", { count: Number(form.count.value), pool: form.dataset.pool, keep: Number(form.keep.value) },
        (said) => { say(said.workers.length + (said.workers.length === 1 ? " worker is" : " workers are") + " coming up"); refresh(); });
    }
    if (form.id === "new-token") {
      event.preventDefault();
      const body = { name: $("#token-name").value, role: $("#token-role").value };
      if ($("#token-life").value) body.lifetime = Number($("#token-life").value);
      submitted(form, "POST", "/api/v1/tokens", body, (said) => {
        $("#token-text").hidden = false;
        $("#token-text pre").textContent = "export ECLOUD_API_URL=" + said.api_url + "\nexport ECLOUD_TOKEN=" + said.token;
        say("A token for " + said.name + " was made");
      });
    }
  });

  // ---- the beginning ----------------------------------------------------------------------------------------------
  function colours(button) {
    const chosen = localStorage.getItem(THEME) || "";
    const words = { "": ["◐", "as the system has them"], light: ["☀", "light"], dark: ["☾", "dark"] };
    button.textContent = words[chosen][0];
    button.setAttribute("aria-label", "Colours: " + words[chosen][1]);
    button.title = "Colours: " + words[chosen][1];
    if (chosen) document.documentElement.dataset.theme = chosen; else delete document.documentElement.dataset.theme;
  }
  const theme = $("#theme");
  colours(theme);
  theme.addEventListener("click", () => {
    const order = ["", "light", "dark"], chosen = order[(order.indexOf(localStorage.getItem(THEME) || "") + 1) % 3];
    if (chosen) localStorage.setItem(THEME, chosen); else localStorage.removeItem(THEME);
    colours(theme);
    document.dispatchEvent(new CustomEvent("ecloud:colours"));
  });
  const out = $("#log-out");
  if (out) out.addEventListener("click", async () => {
    try { await call("DELETE", "/api/v1/session"); } catch (error) { /* it is over in any case */ }
    localStorage.removeItem(WORD);
    location.assign("/login");
  });
  document.addEventListener("htmx:afterSwap", (event) => clocks(event.target));
  document.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) toLogIn(); });
  clocks();
  setInterval(() => { if (!document.hidden) clocks(); }, 1000);
  fit();
  window.addEventListener("resize", () => fit());
  all("[data-log]").forEach(follow);
  listen();
})();
