
// The two pictures between which the sliders are, and whether errors are shown in place of renders.
const choices = [document.getElementById('right-picture'), document.getElementById('left-picture')];
const errors = document.getElementById('errors');

function choose() {
  for (const row of all('.row')) {
    const cells = all('.cell', row);
    for (const cell of cells) {
      const error = cell.querySelector('.error');
      const asError = Boolean(error) && errors.checked;
      if (error) error.hidden = !asError;
      cell.querySelector('.plain').hidden = asError;
    }
    all('.slider img', row).forEach((image, i) => {
      const chosen = cells[Number(choices[i].value)].querySelector('img:not([hidden])');
      image.src = chosen.src;
      image.alt = chosen.alt;
    });
  }
}

if (errors) {
  for (const control of [...choices, errors]) control.addEventListener('change', choose);
  choose();
}
