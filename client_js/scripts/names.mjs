// Short names for the built script, chosen for what gzip makes of the whole: names.json has them.
import { tokenizer, parse } from 'acorn';
import { analyze } from 'eslint-scope';
import { sizeOf, zlibSizeOf } from './gzip.mjs';

// Those that stand in every script first.
const LETTERS = [...'ntreifuocasldvpghmbywxkjqzSTABCDEFGHIJKLMNOPQRUVWXYZ'];
const KEYWORDS = ['do', 'if', 'in'];
const POOL = LETTERS.concat(LETTERS.flatMap((first) => LETTERS.map((second) => first + second)));

// Where more symbols than this would change their names at once, none does.
const LARGEST_SWAP = 14;

// How many bytes a change may cost at the beginning, about, and for which part of the time: what is
// never worse ends where every single step is.
const FIRST_LOSS = 0.7;
const LOSING = 0.9;

const pick = (list) => list[Math.floor(Math.random() * list.length)];

/** @returns {string} where a scope is: the functions around it, those without a name by number */
function pathOf(scope) {
  if (!scope.upper) return '';
  const { id } = scope.block;
  return `${pathOf(scope.upper)}/${id ? id.name : scope.upper.childScopes.indexOf(scope)}`;
}

/** @returns {Set} the scopes in which a variable's name must mean that variable */
function reachOf(variable) {
  const reach = new Set([variable.scope]);
  for (const { from } of variable.references) {
    for (let scope = from; scope !== variable.scope; scope = scope.upper) reach.add(scope);
  }
  return reach;
}

function findVariables(code) {
  const tree = parse(code, { ecmaVersion: 5, ranges: true });
  const { scopes, globalScope } = analyze(tree, { ecmaVersion: 5 });
  const globals = new Set(globalScope.through.map(({ identifier }) => identifier.name));
  const variables = scopes
    .flatMap((scope) => scope.variables)
    // Not `arguments`, nor what a page may read.
    .filter(({ defs }) => defs.length && !(defs[0].name.name === 'WebSocket' && defs[0].node.id))
    .map((variable) => {
      const uses = variable.references.map(({ identifier }) => identifier);
      const starts = variable.identifiers.concat(uses).map(({ start }) => start);
      return {
        key: `${pathOf(variable.scope)}.${variable.name}`,
        length: variable.name.length,
        starts: [...new Set(starts)],
        rivals: [],
        reserved: new Set([...globals, ...KEYWORDS, 'WebSocket']),
        scope: variable.scope,
        reach: reachOf(variable),
      };
    });
  for (const one of variables) {
    one.rivals = variables.filter(
      (other) => other !== one && (one.reach.has(other.scope) || other.reach.has(one.scope))
    );
  }
  return variables;
}

/** @returns {Set<string>[]} the keys of each object that is written as a literal */
function findShapes(code) {
  const shapes = [];
  const visit = (node) => {
    if (!node || typeof node !== 'object') return;
    // What this defines comes to an object that is there.
    if (node.type === 'CallExpression' && node.callee.property?.name === 'defineProperties') return;
    if (node.type === 'ObjectExpression') {
      shapes.push(new Set(node.properties.map(({ key }) => key.name)));
    }
    Object.values(node).forEach(visit);
  };
  visit(parse(code, { ecmaVersion: 5 }));
  return shapes;
}

/**
 * @returns the properties that are private: their names end in an underscore. Two may have the same
 *   short name if all objects that have them are literals, and none has both.
 */
function findProperties(code) {
  const found = new Map();
  for (const { type, value, start } of tokenizer(code, { ecmaVersion: 5 })) {
    if (type.label !== 'name' || !/[^_]_$/.test(value)) continue;
    if (!found.has(value)) {
      const reserved = new Set();
      found.set(value, { key: value, length: value.length, starts: [], rivals: [], reserved });
    }
    found.get(value).starts.push(start);
  }
  const properties = [...found.values()];
  const shapes = findShapes(code);
  for (const one of properties) one.shapes = shapes.filter((shape) => shape.has(one.key));
  const areApart = (one, other) =>
    one.shapes.length && other.shapes.length && !one.shapes.some((shape) => shape.has(other.key));
  for (const one of properties) {
    one.rivals = properties.filter((other) => other !== one && !areApart(one, other));
  }
  return properties;
}

/**
 * Find what may be renamed.
 *
 * @param {string} code ES5
 * @returns the symbols, with the `rivals` that must have other names, and without names
 */
export function findSymbols(code) {
  const seen = new Map();
  const symbols = [...findVariables(code), ...findProperties(code)];
  for (const symbol of symbols) {
    const count = (seen.get(symbol.key) ?? 0) + 1;
    seen.set(symbol.key, count);
    if (count > 1) symbol.key += ` ${count}`;
  }
  return symbols;
}

/**
 * Give each symbol the name that the table has for it, or else the first that is free.
 *
 * @param symbols of `findSymbols`
 * @param {Record<string, string>} table
 */
export function assign(symbols, table) {
  const isFree = (symbol, name) =>
    !symbol.reserved.has(name) && symbol.rivals.every((rival) => rival.name !== name);
  for (const symbol of symbols) {
    const name = table[symbol.key];
    if (name && isFree(symbol, name)) symbol.name = name;
  }
  for (const symbol of symbols) symbol.name ??= POOL.find((name) => isFree(symbol, name));
}

/** @returns what stands where in the code: texts, and symbols in the places of their names */
function cut(code, symbols) {
  const places = symbols.flatMap((symbol) => symbol.starts.map((start) => ({ start, symbol })));
  places.sort((a, b) => a.start - b.start);
  let at = 0;
  const pieces = places.flatMap(({ start, symbol }) => {
    const text = code.slice(at, start);
    at = start + symbol.length;
    return [text, symbol];
  });
  return [...pieces, code.slice(at)];
}

/**
 * Write the code with the symbols' names.
 *
 * @param {string} code
 * @param symbols
 * @returns {{ code: string, toColumn: (column: number) => number }} and where a column went
 */
export function rename(code, symbols) {
  const moves = [];
  let column = 0;
  let text = '';
  for (const piece of cut(code, symbols)) {
    moves.push([column, text.length]);
    text += piece.name ?? piece;
    column += piece.length;
  }
  const toColumn = (wanted) => {
    const [from, to] = moves.findLast(([start]) => start <= wanted);
    return to + wanted - from;
  };
  return { code: text, toColumn };
}

/** @returns all symbols that change when one takes a name from its rivals and they take its own */
function chain(symbol, name) {
  const own = symbol.name;
  const swapped = new Set([symbol]);
  for (const one of swapped) {
    const wanted = one.name === own ? name : own;
    if (one.reserved.has(wanted) || swapped.size > LARGEST_SWAP) return [];
    one.rivals.filter((rival) => rival.name === wanted).forEach((rival) => swapped.add(rival));
  }
  return [...swapped];
}

/**
 * Better the names by trying (simulated annealing).
 *
 * @param {string} code
 * @param symbols with their names
 * @param {string} footer what will stand behind the code
 * @param {number} seconds
 */
export function improve(code, symbols, footer, seconds) {
  const pieces = cut(code, symbols);
  const write = () => pieces.map((piece) => piece.name ?? piece).join('') + footer;
  const start = Date.now();
  let size = sizeOf(write());
  let best = size;
  let names = symbols.map(({ name }) => name);
  for (;;) {
    const passed = (Date.now() - start) / 1000 / seconds;
    if (passed > 1) break;
    const symbol = pick(symbols);
    const own = symbol.name;
    const name =
      Math.random() < 0.5 && symbol.rivals.length ? pick(symbol.rivals).name : pick(LETTERS);
    const swapped = name === own ? [] : chain(symbol, name);
    const swap = () => swapped.forEach((one) => (one.name = one.name === own ? name : own));
    if (!swapped.length) continue;
    swap();
    const loss = FIRST_LOSS * Math.max(0, 1 - passed / LOSING);
    const limit = size - loss * Math.log(1 - Math.random());
    const text = write();
    // The quicker one first: most changes are of no use.
    const found = zlibSizeOf(text) > limit ? Infinity : sizeOf(text);
    if (found > limit) {
      swap();
      continue;
    }
    size = found;
    if (size > best) continue;
    best = size;
    names = symbols.map(({ name }) => name);
  }
  symbols.forEach((symbol, i) => (symbol.name = names[i]));
}
