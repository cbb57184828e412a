"use strict";
// Everything that is shown goes through textContent: what models and people wrote is text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function give(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function element(name, attributes = {}, ...children) {
  return give(document.createElement(name), attributes, children);
}

function shape(name, attributes = {}, ...children) {
  return give(document.createElementNS(SVG, name), attributes, children);
}

function part(id) {
  return document.getElementById(id);
}

function soft(text) {
  return element("p", { class: "soft" }, text);
}

function signed(value, digits = 3) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

function count(value) {
  return Number(value).toLocaleString("en-US");
}

function whole(section) {
  return section === "*" ? "the whole prompt" : section;
}

const FIGURE = /^\$?[\d.,]+( m?s)?$/;

// Numbers stand right, so that they can be compared.
function table(headings, rows, caption) {
  const numeric = headings.map((_, place) => rows.some((cells) => FIGURE.test(String(cells[place] ?? ""))));
  const kind = (place) => (numeric[place] ? "number" : null);
  const head = element("tr", {}, ...headings.map((text, place) => element("th", { scope: "col", class: kind(place) }, text)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell, place) => {
    const shown = typeof cell === "number" ? count(cell) : cell ?? "";
    return element("td", { class: kind(place) }, shown);
  })));
  return element("table", {}, element("caption", { class: "unseen" }, caption), element("thead", {}, head), element("tbody", {}, ...body));
}
