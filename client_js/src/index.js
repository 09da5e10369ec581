/** The version of the shim, as the page may read it. */
var version = '__VERSION__';

/** @type {any} */ (self).WebSocketEmulation = { version: version };
