// The contents show the section that is read, headings have a link, and a switch sets the colors.
const contents = document.querySelector("nav");
if (contents) {
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const mark = (link) => {
    for (const each of links.values()) each.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    // Only the contents move, never the page.
    const middle = (size, box, start) => start + size / 2 - box / 2;
    contents.scrollTo(
      middle(link.offsetWidth, contents.clientWidth, link.offsetLeft),
      middle(link.offsetHeight, contents.clientHeight, link.offsetTop),
    );
  };
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) mark(links.get(entry.target.id));
  }, { rootMargin: "-20% 0px -79% 0px" }); // a line below the top of the window
  for (const name of links.keys()) watch.observe(document.getElementById(name));
}

for (const heading of document.querySelectorAll("section > h2, h3[id]")) {
  const link = document.createElement("a");
  link.className = "anchor";
  link.href = `#${heading.id || heading.parentElement.id}`;
  link.setAttribute("aria-label", `Link to ${heading.textContent}`);
  heading.append(link);
}

const THEMES = ["auto", "light", "dark"];
const KEY = "steep-theme";

// A page that was opened as a file may be refused storage: then the choice lasts until it is closed.
function remembered() {
  try { return sessionStorage.getItem(KEY); } catch { return null; }
}

function remember(theme) {
  try { sessionStorage.setItem(KEY, theme); } catch { /* the theme is set all the same */ }
}

const theme = document.createElement("button");
theme.type = "button";
theme.className = "theme-switch";
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = `Theme: ${name}`;
}
setTheme(THEMES.includes(remembered()) ? remembered() : "auto");
theme.addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  setTheme(next);
  remember(next);
});
document.querySelector("main").prepend(theme);
