"use strict";
(() => {
  const story = JSON.parse(document.getElementById("story").textContent);
  const picture = document.getElementById("picture");
  const slider = document.getElementById("step");
  const said = document.getElementById("said");
  const parts = [...picture.querySelectorAll("[data-id]")];
  const marks = parts.filter((part) => part.classList.contains("mark"));
  const arrows = parts.filter((part) => part.classList.contains("arrow"));
  const hint = "Point at a player, or reach it with Tab: the messages that it receives, and all that they depend on, stay in full colour; what depends on the player is half faded.";
  let pointed = null;
  let timer = 0;

  const group = (items, key) => {
    const found = new Map();
    for (const item of items) {
      const name = item.dataset[key];
      if (name) found.set(name, [...(found.get(name) ?? []), item]);
    }
    return found;
  };
  const flowing = arrows.filter((arrow) => !arrow.matches(".cut, .removed"));
  const into = group(flowing, "target");
  const outOf = group(flowing, "source");
  const byId = group(marks, "id");

  // Everything on the way to (or from) some marks, with the arrows between; R's marks ask those of Q.
  const reach = (starts, arrowsOf, end, asking) => {
    const found = new Set(starts);
    const waiting = [...starts];
    while (waiting.length) {
      const mark = waiting.pop();
      const next = asking && mark.dataset.asks ? [...(byId.get(mark.dataset.asks) ?? [])] : [];
      for (const arrow of arrowsOf.get(mark.dataset.id) ?? []) {
        found.add(arrow);
        next.push(...(byId.get(arrow.dataset[end]) ?? []));
      }
      for (const each of next) {
        if (!found.has(each)) {
          found.add(each);
          waiting.push(each);
        }
      }
    }
    return found;
  };

  const related = (mark) => {
    const player = mark.matches(".player, .clone");
    const same = player ? marks.filter((each) => each.matches(".player, .clone") && each.dataset.owner === mark.dataset.owner) : [mark];
    return { lit: reach(same, into, "source", true), fed: reach(same, outOf, "target", false) };
  };

  const show = (name, chosen) => {
    const ids = new Set([...chosen].map((part) => part.dataset.id));
    for (const part of parts) part.classList.toggle(name, ids.has(part.dataset.id));
  };

  const names = (chosen) => [...chosen].filter((part) => part.matches(".player, .black, .gray, .noise, .loss"))
    .map((part) => part.dataset.owner || part.dataset.id)
    .filter((name, place, all) => name !== pointed.dataset.owner && all.indexOf(name) === place);

  const tellStep = (number) => {
    const scene = story.scenes[number - 1];
    const past = new Set(story.scenes.slice(0, number).flatMap((each) => each.lights));
    const now = new Set(scene ? scene.lights : []);
    for (const part of parts) {
      part.classList.toggle("past", past.has(part.dataset.id));
      part.classList.toggle("now", now.has(part.dataset.id));
    }
    document.getElementById("count").value = `${number} / ${story.scenes.length}`;
    [...document.getElementById("workers").children].forEach((item) => {
      item.classList.toggle("acts", !!scene && scene.workers[0] === item.textContent);
      item.classList.toggle("receives", !!scene && scene.workers[1] === item.textContent);
    });
    return scene ? `${scene.phase}: ${scene.text}` : hint;
  };

  const update = () => {
    const number = Number(slider.value);
    const text = tellStep(number);
    const { lit, fed } = pointed ? related(pointed) : { lit: [], fed: [] };
    show("lit", lit);
    show("fed", fed);
    picture.classList.toggle("dimmed", pointed !== null || number > 0);
    if (pointed) {
      for (const part of parts) part.classList.remove("past", "now");
      const listed = (chosen) => names(chosen).join(", ") || "nobody else";
      said.textContent = `${pointed.getAttribute("aria-label")}. It depends on: ${listed(lit)}. On it depend: ${listed(fed)}.`;
    } else {
      said.textContent = text;
    }
  };

  const point = (mark) => {
    pointed = mark;
    update();
  };

  const go = (number) => {
    slider.value = String(Math.max(0, Math.min(story.scenes.length, number)));
    pointed = null;
    update();
  };

  const stop = () => {
    clearInterval(timer);
    timer = 0;
    document.getElementById("play").textContent = "play";
  };

  const play = () => {
    if (timer) return stop();
    if (Number(slider.value) >= story.scenes.length) go(0);
    document.getElementById("play").textContent = "pause";
    timer = setInterval(() => {
      go(Number(slider.value) + 1);
      if (Number(slider.value) >= story.scenes.length) stop();
    }, 700);
  };

  for (const mark of marks) {
    mark.addEventListener("pointerenter", () => point(mark));
    mark.addEventListener("pointerleave", () => point(null));
    if (mark.matches(".player, .clone")) {
      mark.setAttribute("tabindex", "0");
      mark.addEventListener("focus", () => point(mark));
      mark.addEventListener("blur", () => point(null));
    }
  }
  for (const worker of story.workers) {
    const item = document.createElement("li");
    item.textContent = worker;
    document.getElementById("workers").append(item);
  }
  slider.addEventListener("input", () => go(Number(slider.value)));
  document.getElementById("back").addEventListener("click", () => go(Number(slider.value) - 1));
  document.getElementById("on").addEventListener("click", () => go(Number(slider.value) + 1));
  document.getElementById("play").addEventListener("click", play);
  document.getElementById("actual").addEventListener("change", (event) => picture.classList.toggle("actual", event.target.checked));
  update();
})();
