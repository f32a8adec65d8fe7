// Highlight in the entity graph: pointing at (or tapping) a node shows it and what it is joined to.
// The page is whole without this script.
"use strict";
for (const graph of document.querySelectorAll("svg.graph")) {
  const said = document.getElementById("graph-says");
  const silent = said.textContent;
  const edges = [...graph.querySelectorAll("[data-a]")];
  const show = (node) => {
    const index = node ? node.dataset.node : null;
    const near = new Set([index]);
    for (const { dataset, classList } of edges) {
      const joined = dataset.a === index || dataset.b === index;
      classList.toggle("on", joined);
      if (joined) near.add(dataset.a).add(dataset.b);
    }
    for (const part of graph.querySelectorAll("[data-node], [data-name]")) {
      part.classList.toggle("on", near.has(part.dataset.node ?? part.dataset.name));
    }
    graph.classList.toggle("active", node !== null);
    said.textContent = node ? node.querySelector("title").textContent : silent;
  };
  graph.addEventListener("pointerover", (event) => show(event.target.closest("[data-node]")));
  graph.addEventListener("pointerleave", () => show(null));
  graph.addEventListener("click", (event) => show(event.target.closest("[data-node]"))); // a tap stays
}
