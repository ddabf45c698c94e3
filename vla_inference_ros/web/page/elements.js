// Makes and fills the page's elements. All text goes in as text, never as markup.

export const $ = selector => document.querySelector(selector);

export function make(tag, parent, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  parent.append(element);
  return element;
}

export function valued(tag, parent, name, className = "") {
  const element = make(tag, parent, {className, textContent: "–"});
  element.dataset.value = name;
  return element;
}

// A table's row: its label, then a value for each column.
export function row(table, name, label, columns) {
  const line = make("tr", $(`${table} tbody`));
  make("th", line, {textContent: label, scope: "row"});
  for (const column of columns) valued("td", line, `${name} ${column}`);
  return line;
}

// Writes only what has changed, so that a selection or a screen reader is not disturbed.
export function put(name, text, className) {
  const element = $(`[data-value="${name}"]`);
  if (element.textContent !== text) element.textContent = text;
  if (className !== undefined && element.className !== className) element.className = className;
}

// --- units: SI comes in

export const number = (value, digits = 1) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
export const hertz = value => (Number.isFinite(value) ? `${number(value)} Hz` : "–");
export const age = value => (!(value >= 0) ? "–" : `${number(value, value < 10 ? 2 : 0)} s`);
export const ms = value => number(value * 1e3, value < 0.01 ? 2 : value < 0.1 ? 1 : 0);
export const short = value => (
  !Number.isFinite(value) ? "–" : Math.abs(value) < 1000 ? value.toPrecision(3) : value.toFixed(0)
);
export const degrees = value => `${number(value * 180 / Math.PI)}°`;
export const mm = value => `${number(value * 1e3)}`;
