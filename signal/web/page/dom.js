// Small helpers of the views. Text is always set as text.

export const byId = (id) => document.getElementById(id);

// onEvent calls handle on each event of a type at target. What handle returns does
// not matter: a handler that is assigned (onkeydown = ...) and happens to return
// false cancels the event.
export const onEvent = (target, type, handle) => target.addEventListener(type, handle);

// element makes an element with a class and children, texts or elements.
export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// icon makes one of the icons that index.html holds, with a text for screen readers.
export function icon(name, label) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", `icon ${name}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

// paintAvatar shows the first letter of a name, in a colour that goes with it.
export function paintAvatar(node, name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 997;
  node.dataset.hue = sum % 6;
  node.textContent = name.slice(0, 1).toUpperCase();
}
