import './worker.js';
import './page.js';
import '/emulation.js';
