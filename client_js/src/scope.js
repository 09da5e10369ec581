/* global global */

/**
 * The global object: a window's, a worker's, or Node's, which has no `self`.
 *
 * @type {any}
 */
export var scope = typeof self === 'undefined' ? global : self;

/** Of the page; a worker and Node have none. */
export var document = scope.document;
