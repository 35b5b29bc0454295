/**
 * The element with this id, as the class it must have.
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: never[]) => T} type
 * @returns {T}
 * @throws {Error} when the page has no such element: a mistake in index.html.
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return element;
}

/**
 * A new element with classes and text. Text is only ever set as text, never parsed as HTML.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className !== undefined) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/**
 * One of the symbols in index.html, for use inside a button that has a label.
 * @param {string} name
 */
export function icon(name) {
  const namespace = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(namespace, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(namespace, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Shows another symbol in a button made with an `<svg><use>`.
 * @param {Element} button
 * @param {string} name
 */
export function setIcon(button, name) {
  button.querySelector('use')?.setAttribute('href', `#i-${name}`);
}

/**
 * Names what a button does now, for the eye (tooltip) and for assistive technology.
 * @param {HTMLElement} button
 * @param {string} label
 */
export function setLabel(button, label) {
  button.setAttribute('aria-label', label);
  button.title = label;
}
