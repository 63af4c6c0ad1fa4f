"use strict";

// Runs in the head: the theme is set before the first paint, the rest runs when the cards are loaded.
(() => {
  const root = document.documentElement;
  const THEME = "luma-async-gallery-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const touch = matchMedia("(hover: none)");

  // Browsers may deny storage to files: then the choice is lost when the page is closed.
  const recall = () => { try { return localStorage.getItem(THEME); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem(THEME, theme); } catch { return; } };

  const chosen = recall();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector(".cards");
    const filter = document.getElementById("filter");
    const sort = document.getElementById("sort");
    const phases = document.querySelector(".phases");
    const count = document.getElementById("count");
    const none = document.getElementById("none");
    const themeButton = document.getElementById("theme-button");
    const plain = (text) => text.normalize("NFKC").toLowerCase();

    const records = [...list.children].map((item, place) => {
      const card = item.firstElementChild;
      const prompt = card.querySelector(".prompt");
      const reason = card.querySelector(".reason");
      return {
        item, card, place,
        stage: card.querySelector(".stage"),
        video: null,
        prompt: prompt.classList.contains("none") ? "" : prompt.textContent,
        phase: card.dataset.phase,
        seconds: Number(card.dataset.seconds || -1),
        text: plain(`${prompt.textContent} ${reason ? reason.textContent : ""} ${card.dataset.find}`),
      };
    });
    const byCard = new Map(records.map((record) => [record.card, record]));
    const recordOf = (node) => byCard.get(node instanceof Element ? node.closest(".card") : null) || null;
    let visible = records;
    let current = null;
    let hovered = null;
    let playing = null;

    /* Theme */

    const dress = () => themeButton.setAttribute("aria-pressed", String(isDark()));
    themeButton.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      keep(root.dataset.theme);
      dress();
    });
    dark.addEventListener("change", dress);
    dress();

    /* Loading: only a card near the viewport has a player, since a thousand players make a page slow. */

    const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

    function wake(record) {
      const { stage, card } = record;
      const time = card.querySelector("time");
      if (time && !time.title) {
        time.title = time.textContent;
        time.textContent = day.format(new Date(time.dateTime));
      }
      if (record.video || !stage.dataset.src || "broken" in card.dataset) return;
      const video = document.createElement("video");
      Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "none" });
      if (stage.dataset.poster) video.poster = stage.dataset.poster;
      else video.preload = "metadata";
      video.src = stage.dataset.src;
      stage.prepend(video);
      record.video = video;
      if (touch.matches) onScreen.observe(card);
    }

    function rest(record) {
      if (!record.video) return;
      pause(record);
      mark(record, false);
      onScreen.unobserve(record.card);
      record.video.removeAttribute("src");
      record.video.load();
      record.video.remove();
      record.video = null;
    }

    const near = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        const record = recordOf(target.firstElementChild);
        if (isIntersecting) wake(record);
        else rest(record);
      }
    }, { rootMargin: "400px 0px" });

    /* Playing: one clip at a time. */

    function play(record) {
      wake(record);
      if (!record.video) return;
      if (playing && playing !== record) pause(playing);
      playing = record;
      // Rejected when it is paused before it has loaded, or cannot load: the events below handle both.
      record.video.play().catch(() => undefined);
    }

    function pause(record) {
      if (record.video) record.video.pause();
      if (playing === record) playing = null;
    }

    const toggle = (record) => (record.video && !record.video.paused ? pause(record) : play(record));

    function mark(record, on) {
      record.card.classList.toggle("playing", on);
      record.card.querySelector(".play").setAttribute("aria-label", on ? "Pause" : "Play");
    }

    function hover(record) {
      if (record === hovered) return;
      if (hovered && playing === hovered) pause(hovered);
      hovered = record;
      if (record && !calm.matches) play(record);
    }

    list.addEventListener("play", (event) => mark(recordOf(event.target), true), true);
    list.addEventListener("pause", (event) => mark(recordOf(event.target), false), true);
    list.addEventListener("error", (event) => {
      const record = recordOf(event.target);
      const { card } = record;
      card.dataset.broken = "";
      rest(record);
      card.querySelector(".gone").hidden = false;
      for (const dead of card.querySelectorAll(".play, .open")) dead.hidden = true;
    }, true);
    list.addEventListener("pointerover", (event) => {
      if (event.pointerType !== "touch") hover(recordOf(event.target));
    });
    list.addEventListener("pointerleave", () => hover(null));
    list.addEventListener("focusin", (event) => {
      const record = recordOf(event.target);
      appoint(record);
      if (event.target === record.card && !calm.matches) play(record);
    });
    list.addEventListener("focusout", (event) => {
      const left = recordOf(event.target);
      if (recordOf(event.relatedTarget) !== left && left !== hovered && playing === left) pause(left);
    });

    // Without a pointer that can hover, the visible clip plays.
    const onScreen = new IntersectionObserver((seen) => {
      if (calm.matches) return;
      for (const { target, isIntersecting } of seen) {
        const record = recordOf(target);
        if (isIntersecting) play(record);
        else if (playing === record) pause(record);
      }
    }, { threshold: 0.9 });

    /* Filtering and sorting */

    const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
    const orders = {
      newest: (a, b) => a.place - b.place,
      oldest: (a, b) => b.place - a.place,
      prompt: (a, b) => collator.compare(a.prompt, b.prompt) || a.place - b.place,
      seconds: (a, b) => b.seconds - a.seconds || a.place - b.place,
    };
    const noun = count.textContent;

    function show() {
      const words = plain(filter.value).split(/\s+/).filter(Boolean);
      const phase = phases.querySelector("input:checked").value;
      const fits = (record) => (!phase || record.phase === phase) && words.every((word) => record.text.includes(word));
      visible = records.filter(fits).sort(orders[sort.value]);
      // Removed and not hidden: browsers take seconds to hide a thousand siblings.
      list.replaceChildren(...visible.map((record) => record.item));
      none.hidden = visible.length > 0 || records.length === 0;
      count.textContent = visible.length === records.length ? noun : `${visible.length} of ${noun}`;
      appoint(visible[0] || null);
    }

    let frame = 0;
    filter.addEventListener("input", () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(show);
    });
    phases.addEventListener("change", show);
    sort.addEventListener("change", show);

    /* Copying */

    function copyByHand(text) {
      const area = document.createElement("textarea");
      const before = document.activeElement;
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    }

    async function copy(record) {
      if (!record.prompt) return;
      try { await navigator.clipboard.writeText(record.prompt); } catch { copyByHand(record.prompt); }
      const button = record.card.querySelector(".copy");
      button.classList.add("copied");
      button.setAttribute("aria-label", "Copied");
      setTimeout(() => {
        button.classList.remove("copied");
        button.setAttribute("aria-label", "Copy the prompt");
      }, 1500);
    }

    list.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (!button) return;
      if (button.classList.contains("copy")) copy(recordOf(button));
      else toggle(recordOf(button));
    });

    /* Keyboard: one card is in the tab order, the arrow keys move from it. */

    function appoint(record) {
      if (current) current.card.tabIndex = -1;
      current = record;
      if (record) record.card.tabIndex = 0;
    }

    function go(record) {
      if (!record) return;
      record.card.focus({ preventScroll: true });
      record.card.scrollIntoView({ block: "nearest", behavior: "auto" });
    }

    function step(key) {
      const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
      if (key === "Home") return visible[0];
      if (key === "End") return visible[visible.length - 1];
      return visible[visible.indexOf(current) + steps[key]];
    }

    const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

    function onCard(event, record) {
      const own = event.target === record.card;
      if (MOVES.has(event.key)) go(step(event.key));
      else if (event.key === "c") copy(record);
      else if (event.key === " " && own) toggle(record);
      else return;
      event.preventDefault();
    }

    function onFilter(event) {
      if (event.key === "Escape" && filter.value) {
        filter.value = "";
        show();
      } else if (event.key === "Escape" || event.key === "ArrowDown") go(current);
      else return;
      event.preventDefault();
    }

    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      const { target } = event;
      if (target === filter) onFilter(event);
      else if (target instanceof Element && target.matches("input, select")) return;
      else if (event.key === "/") {
        event.preventDefault();
        filter.focus();
        filter.select();
      } else if (recordOf(target)) onCard(event, recordOf(target));
      else if (target === document.body && event.key.startsWith("Arrow") && current) {
        event.preventDefault();
        go(current);
      }
    });

    for (const { item } of records) near.observe(item);
    root.classList.add("ready");
    show();
  });
})();
