// Explore the entities: one in the middle of those that occur with it most often, and its passages.
// The layout follows from the counts alone. Names and texts are anybody's: they become text nodes.
const WIDE = 560; // pixels of a radial picture; a narrower one is a list with curves
const FIRST = 10; // passages of a list before the rest is asked for
const TRAIL = 8; // entities seen last
const BEGINNING = 130; // characters of a passage that is folded

function make(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function button(text, act, attributes = {}) {
  return make("button", { type: "button", class: "entity", onclick: act, ...attributes }, text);
}

function plural(number, noun, several = `${noun}s`) {
  return `${number.toLocaleString("en-US")} ${number === 1 ? noun : several}`;
}

function shorten(text, length) {
  const letters = [...text];
  return letters.length > length ? `${letters.slice(0, Math.max(1, length - 1)).join("")}…` : text;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function key(name) {
  return name.toLowerCase().split(/\s+/).filter(Boolean).join(" ");
}

function read(data) {
  const passagesOf = data.entities.map(() => []);
  for (const passage of data.passages) {
    for (const each of new Set(passage[2])) {
      if (typeof each === "number") passagesOf[each].push(passage);
    }
  }
  return data.entities.map(([name, passages, documents, first, others, together], number) => ({
    name, number, passages, documents, others, together,
    titles: first.map(([document, count]) => [data.documents[document], count]),
    texts: passagesOf[number],
  }));
}

// ---- the picture ----

function places(count, width) {
  if (width < WIDE) {
    const height = count * 34 + 20;
    return { height, center: [14, height / 2], at: (i) => [74, 27 + i * 34, 1] };
  }
  const down = Math.min(178, 80 + 14 * count); // lower for few entities
  const [x, y, across] = [width / 2, down + 36, Math.min(190, width * 0.2)];
  const at = (i) => {
    const angle = ((i + 0.5) / count) * 2 * Math.PI;
    const side = Math.abs(Math.sin(angle)) < 0.01 ? 0 : Math.sign(Math.sin(angle));
    return [x + across * Math.sin(angle), y - down * Math.cos(angle), side];
  };
  return { height: 2 * y, center: [x, y], at };
}

function pictureOf(entity, entities, width, partner, choose, choosePair) {
  const { height, center: [x, y], at } = places(entity.together.length, width);
  const most = Math.max(...entity.together.map(([, count]) => count));
  const lines = draw("g", {});
  const nodes = draw("g", {});
  entity.together.forEach(([number, count], i) => {
    const [left, top, side] = at(i);
    const name = entities[number].name;
    const middle = width < WIDE ? `C ${x + 30} ${y}, ${left - 40} ${top}, ` : "L ";
    const path = `M ${x} ${y} ${middle}${left} ${top}`;
    const chosen = number === partner ? " chosen" : "";
    lines.append(
      draw("g", { class: `tie${chosen}`, onclick: () => choosePair(number) },
        draw("title", {}, `${plural(count, "passage")} about ${entity.name} and ${name}`),
        draw("path", { d: path, class: "hit" }),
        draw("path", { d: path, "stroke-width": (1 + (7 * count) / most).toFixed(1) })),
    );
    const space = (width < WIDE || side > 0 ? width - left : left) - 60;
    const label = `${shorten(name, Math.floor(space / 7.4))} · ${count.toLocaleString("en-US")}`;
    const anchor = ["end", "middle", "start"][side + 1];
    const act = () => choose(number, true);
    nodes.append(
      draw("g", {
        class: `node${chosen}`, role: "button", tabindex: 0, onclick: act,
        "aria-label": `${name}: ${plural(count, "passage")} with ${entity.name}`,
        onkeydown: (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          act();
        },
      },
        draw("title", {}, name),
        draw("circle", { cx: left, cy: top, r: 6 }),
        draw("text", {
          x: left + 13 * side, y: top + (side ? 4.5 : 22), "text-anchor": anchor, class: "label",
        }, label)),
    );
  });
  const title = width < WIDE ? null : draw("text", {
    x, y: y + 27, "text-anchor": "middle", class: "label middle",
  }, shorten(entity.name, 30));
  const middle = draw("g", { class: "center" }, draw("circle", { cx: x, cy: y, r: 11 }), title);
  return draw("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
    "aria-label": `Entities that occur with ${entity.name}`,
  }, lines, middle, nodes);
}

// ---- the passages ----

function passageOf(passage, current, data, entities, choose) {
  const [document, recipe, about, text, cut] = passage;
  const others = about.filter((each) => each !== current.number)
    .map((each) => (typeof each === "number" ? entities[each].name : each));
  const names = about.map((each) =>
    typeof each === "number"
      ? button(entities[each].name, () => choose(each, true))
      : make("span", { class: "entity" }, each));
  const beginning = shorten(text.replace(/\s+/g, " "), BEGINNING);
  return make("li", {},
    make("details", {},
      make("summary", {},
        make("span", { class: "detail" }, `${data.documents[document]} · ${recipe} · with ${others.join(", ")}`),
        make("span", { class: "beginning", dir: "auto" }, beginning)),
      make("div", { class: "text", dir: "auto" }, cut ? `${text}…` : text),
      make("p", { class: "note" }, "About: ", ...names.flatMap((each, i) => (i ? [", ", each] : [each])),
        cut ? ". The rest of this passage is not in the page." : ".")));
}

function listOf(found, current, data, entities, choose) {
  const list = make("ul", { class: "passages" });
  const add = (from, to) =>
    list.append(...found.slice(from, to).map((each) => passageOf(each, current, data, entities, choose)));
  add(0, FIRST);
  if (found.length <= FIRST) return [list];
  const more = button(`Show ${found.length - FIRST} more`, () => {
    add(FIRST);
    more.remove();
    list.children[FIRST].querySelector("summary").focus();
  });
  return [list, more];
}

function countsOf(found, all, entity, partner) {
  const about = partner ? `${entity.name} and ${partner.name}` : entity.name;
  const here = found.length === all ? "All" : `${found.length.toLocaleString("en-US")} of`;
  const command = `steep status --entity ${shellQuoted(entity.name)} --limit ${entity.passages}`;
  return make("p", { class: "note" },
    `${here} ${plural(all, "passage")} about ${about} in this page. `,
    make("code", {}, command), " shows texts with their prompts.");
}

// ---- the whole ----

function explore(host, data) {
  const entities = read(data);
  const numbers = new Map(entities.map((each) => [key(each.name), each.number]));
  const seen = [];
  let current = entities[0];
  let partner = null;

  const input = make("input", {
    type: "search", id: "entity-search", list: "entity-names", autocomplete: "off", spellcheck: "false",
    oninput: say,
    onchange: search,
    onkeydown: (event) => event.key === "Enter" && search(),
  });
  const names = entities.map((each) => make("option", { value: each.name }));
  const said = make("span", { class: "note", role: "status" });
  const trail = make("p", { class: "trail", "aria-label": "Entities seen last" });
  const heading = make("h3", { tabindex: -1 });
  const summary = make("p", { class: "note" });
  const picture = make("div", { class: "picture" });
  const below = make("div", {});
  host.prepend(
    make("p", { class: "search" },
      make("label", { for: "entity-search" }, "Find an entity "), input, " ", said,
      make("datalist", { id: "entity-names" }, ...names)),
    trail, heading, summary, picture, below);
  host.hidden = false;

  function find() {
    const wanted = key(input.value);
    return numbers.get(wanted) ?? entities.findIndex((each) => key(each.name).includes(wanted));
  }

  function say() {
    said.textContent = find() < 0 ? "No entity of this name in the page." : "";
  }

  function search() {
    say();
    const found = find();
    if (key(input.value) && found >= 0) choose(found);
  }

  function choose(number, isFromPage = false) {
    if (number !== current.number || !seen.length) {
      const before = seen.indexOf(number);
      if (before >= 0) seen.splice(before, 1);
      seen.push(number);
      if (seen.length > TRAIL) seen.shift();
    }
    current = entities[number];
    partner = null;
    show();
    if (isFromPage) heading.focus({ preventScroll: true });
    if (heading.getBoundingClientRect().top < 0) heading.scrollIntoView();
  }

  function choosePair(number) {
    partner = number === partner ? null : number;
    show();
  }

  function show() {
    const steps = seen.map((number) => button(entities[number].name, () => choose(number), {
      "aria-current": number === current.number && "true",
    }));
    trail.replaceChildren(...steps.flatMap((each, i) => (i ? [" › ", each] : [each])));
    trail.hidden = seen.length < 2;
    heading.textContent = current.name;
    const titles = current.titles.map(([title, count]) => `${title} (${count})`);
    const rest = current.documents - titles.length;
    summary.textContent = `${plural(current.passages, "passage")}, with ` +
      `${plural(current.others, "other entity", "other entities")}. ` +
      `${current.documents === 1 ? "Document" : "Documents"}: ${titles.join(", ")}` +
      `${rest > 0 ? ` and ${rest} more` : ""}.`;
    showPicture();
    showPassages();
  }

  function showPicture() {
    if (!current.together.length) return picture.replaceChildren();
    const width = Math.round(picture.clientWidth) || 700;
    picture.replaceChildren(
      pictureOf(current, entities, width, partner, choose, choosePair));
  }

  function showPassages() {
    const other = partner === null ? null : entities[partner];
    const found = other ? current.texts.filter((each) => each[2].includes(partner)) : current.texts;
    const all = other ? current.together.find(([each]) => each === partner)[1] : current.passages;
    const select = make("select", {
      id: "entity-partner",
      onchange: () => {
        partner = select.value === "" ? null : Number(select.value);
        show();
        document.getElementById("entity-partner").focus();
      },
    },
      make("option", { value: "" }, "any other entity"),
      ...current.together.map(([number, count]) =>
        make("option", { value: number, selected: number === partner },
          `${entities[number].name} (${count})`)));
    below.replaceChildren(
      make("p", { class: "search" },
        make("label", { for: "entity-partner" }, `Passages about ${current.name} and `), select),
      countsOf(found, all, current, other),
      ...listOf(found, current, data, entities, choose));
  }

  for (const cell of document.querySelectorAll("#graph tbody th")) {
    const number = numbers.get(key(cell.textContent));
    if (number === undefined) continue;
    cell.replaceChildren(button(cell.textContent, () => choose(number, true)));
  }
  let width = 0;
  new ResizeObserver(() => {
    if (picture.clientWidth === width) return;
    width = picture.clientWidth;
    showPicture();
  }).observe(picture);
  choose(0);
}

const host = document.getElementById("explorer");
if (host) explore(host, JSON.parse(document.getElementById("entity-data").textContent));
