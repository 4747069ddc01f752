"use strict";

// INDEX holds [address, page, heading, text] for each section; search-index.js defines it.
const query = document.getElementById("query");
const results = document.getElementById("results");
const MOST = 20;

function score(section, words) {
  const [, page, heading, text] = section.map((each) => each.toLowerCase());
  let sum = 0;
  for (const word of words) {
    const points = (heading.includes(word) ? 8 : 0) + (page.includes(word) ? 2 : 0) + (text.includes(word) ? 1 : 0);
    if (points === 0) {
      return 0;
    }
    sum += points;
  }
  return sum;
}

// A part of the text around the first word, as nodes, so that nothing of it is taken for HTML.
function excerpt(text, words) {
  const places = words.map((word) => text.toLowerCase().indexOf(word)).filter((place) => place >= 0);
  const start = places.length === 0 ? 0 : Math.max(0, Math.min(...places) - 60);
  const part = (start > 0 ? "… " : "") + text.slice(start, start + 200) + (start + 200 < text.length ? " …" : "");
  const paragraph = document.createElement("p");
  let rest = part;
  while (rest !== "") {
    let found = null;
    for (const word of words) {
      const place = rest.toLowerCase().indexOf(word);
      if (place >= 0 && (found === null || place < found.place)) {
        found = { place, length: word.length };
      }
    }
    if (found === null) {
      break;
    }
    paragraph.append(rest.slice(0, found.place));
    const mark = document.createElement("mark");
    mark.textContent = rest.slice(found.place, found.place + found.length);
    paragraph.append(mark);
    rest = rest.slice(found.place + found.length);
  }
  paragraph.append(rest);
  return paragraph;
}

function show() {
  const words = query.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  results.replaceChildren();
  results.hidden = words.length === 0;
  if (results.hidden) {
    return;
  }
  const found = INDEX.map((section) => ({ section, points: score(section, words) }))
    .filter((each) => each.points > 0)
    .sort((a, b) => b.points - a.points);
  const count = document.createElement("p");
  count.textContent = found.length === 0 ? "Nothing found." : `${found.length} found` + (found.length > MOST ? `, the first ${MOST}:` : ":");
  const list = document.createElement("ol");
  for (const { section } of found.slice(0, MOST)) {
    const [address, page, heading, text] = section;
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = address;
    link.textContent = heading === page ? page : `${heading} – ${page}`;
    link.addEventListener("click", () => setTimeout(clear)); // a link that is gone is not followed
    item.append(link, excerpt(text, words));
    list.append(item);
  }
  results.append(count, list);
}

function clear() {
  query.value = "";
  show();
}

query.addEventListener("input", show);
query.form.addEventListener("submit", (event) => {
  event.preventDefault();
  results.querySelector("a")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== query) {
    event.preventDefault();
    query.focus();
  } else if (event.key === "Escape") {
    clear();
  }
});
// A narrow window begins with the text.
if (window.matchMedia("(max-width: 56rem)").matches) {
  document.querySelector("nav details").open = false;
}
