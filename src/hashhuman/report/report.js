'use strict';
const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

// A handle between two pictures that lie on each other.
for (const slider of all('.slider')) {
  const input = slider.querySelector('input');
  const show = () => slider.style.setProperty('--split', `${input.value}%`);
  input.addEventListener('input', show);
  show();
}

// What the right half of the sliders shows.
const right = document.getElementById('right');
right?.addEventListener('change', () => {
  for (const slider of all('.slider')) {
    const images = all('img[data-kind]', slider);
    const chosen = images.find((image) => image.dataset.kind === right.value) ?? images[0];
    for (const image of images) image.hidden = image !== chosen;
  }
});

// Whether curves are drawn over steps or over seconds.
for (const radio of all('input[name="over"]')) {
  radio.addEventListener('change', () => {
    for (const charts of all('.charts[data-shown]')) charts.dataset.shown = radio.value;
  });
}

// A click on a head sorts the table by its column, a second one the other way round.
for (const table of all('table.sortable')) {
  const heads = all('thead th', table);
  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const down = head.ariaSort === 'ascending';
    for (const other of heads) other.ariaSort = null;
    head.ariaSort = down ? 'descending' : 'ascending';
    const key = (row) => row.cells[column].textContent;
    const order = (a, b) => key(a).localeCompare(key(b), 'en', { numeric: column === 0 });
    const number = (row) => parseFloat(key(row).replace('\u2212', '-')); // differences have a typographic minus
    const byNumber = (a, b) => (number(a) || 0) - (number(b) || 0);
    const rows = Array.from(table.tBodies[0].rows).sort(column === 0 ? order : byNumber);
    table.tBodies[0].append(...(down ? rows.reverse() : rows));
  }));
}

// The avatar is loaded when it comes into sight, since it needs time and memory.
const frame = document.getElementById('avatar');
if (frame) {
  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    frame.srcdoc = JSON.parse(document.getElementById('avatar-page').textContent);
  });
  watcher.observe(frame);
}
