/** Node's global object. */
declare var global: any;
