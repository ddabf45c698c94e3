// Shows what is wrong right now: in the head, and on each stream that a trouble names.

import {$, make} from "./elements.js";

const NAMED = ": "; // ends the name of the stream that a trouble is about
let shown = "[]";

// `troubles` as the status has them, such as "View1: nothing comes". A stream's place on the page
// is any element with its name for data-stream; one of class "told" within it gets the words.
export function showTroubles(troubles) {
  const text = JSON.stringify(troubles);
  if (text === shown) return;
  shown = text;
  $("#troubles").replaceChildren();
  for (const trouble of troubles) make("li", $("#troubles"), {textContent: trouble});
  for (const element of document.querySelectorAll("[data-stream]")) {
    const start = element.dataset.stream + NAMED;
    const own = troubles.filter(each => each.startsWith(start)).map(each => each.slice(start.length));
    element.classList.toggle("trouble", own.length > 0);
    element.title = own.join("; ");
    const told = element.querySelector(".told");
    if (told) told.textContent = element.title;
  }
}
