// Show where the marked words of a sampled passage come from: point at them, or move between them
// with the arrow keys; a click or Enter keeps the place, and Escape lets it go.
function connect(view) {
  const box = view.querySelector(".source");
  const marks = [...view.querySelectorAll("a[data-places]")];
  if (!box || marks.length === 0) return;
  const prefix = marks[0].hash.replace(/\d+$/, "");
  const placesOf = (mark) =>
    mark.dataset.places.split(" ").map((place) => view.querySelector(prefix + place));
  let pinned = null;

  function show(mark) {
    for (const each of view.querySelectorAll(".shown")) each.classList.remove("shown");
    if (!mark) return;
    const places = placesOf(mark);
    for (const each of [mark, ...places]) each.classList.add("shown");
    box.scrollTop = places[0].offsetTop - (box.clientHeight - places[0].offsetHeight) / 2;
  }

  function pin(mark) {
    pinned?.classList.remove("pinned");
    pinned = mark;
    pinned?.classList.add("pinned");
    show(mark);
  }

  function move(from, step) {
    const next = marks[marks.indexOf(from) + step];
    if (!next) return;
    const fold = next.closest("details");
    if (fold) fold.open = true;
    next.focus();
  }

  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const mark of marks) {
    mark.tabIndex = mark === marks[0] ? 0 : -1; // one stop of the tab key for each passage
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", () => show(pinned));
    mark.addEventListener("focus", () => {
      for (const each of marks) each.tabIndex = each === mark ? 0 : -1;
      show(mark);
    });
    mark.addEventListener("blur", () => show(pinned));
    mark.addEventListener("click", (event) => {
      event.preventDefault();
      pin(mark === pinned ? null : mark);
    });
    mark.addEventListener("keydown", (event) => {
      if (event.key === "Escape") pin(null);
      else if (steps[event.key]) move(mark, steps[event.key]);
      else return;
      event.preventDefault();
    });
  }
}

for (const view of document.querySelectorAll(".compare")) connect(view);
