import { text } from './text.js';

document.body.textContent = text;
if (import.meta.hot) {
  import.meta.hot.accept('./text.js', (module) => (document.body.textContent = module.text));
}
