// Short names for the built script, and the order of what may stand in any order, chosen for what gzip
// makes of the whole: names.json has them.
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
const FIRST_LOSS = 0.25;
const LOSING = 0.9;

// How many of the changes move something; the others are to names.
const MOVES = 0.25;

const PRIVATE = /[^_]_$/;

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
    if (type.label !== 'name' || !PRIVATE.test(value)) continue;
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
 * Give each symbol the name that the table has for it, or else the first that is free, and the rank that
 * it has there.
 *
 * @param symbols of `findSymbols`
 * @param {Record<string, string>} table
 */
export function assign(symbols, table) {
  const isFree = (symbol, name) =>
    !symbol.reserved.has(name) && symbol.rivals.every((rival) => rival.name !== name);
  const ranks = new Map(Object.keys(table).map((key, rank) => [key, rank]));
  for (const [i, symbol] of symbols.entries()) {
    symbol.rank = ranks.get(symbol.key) ?? ranks.size + i;
    const name = table[symbol.key];
    if (name && isFree(symbol, name)) symbol.name = name;
  }
  for (const symbol of symbols) symbol.name ??= POOL.find((name) => isFree(symbol, name));
}

/** @returns {object[]} the nodes of an expression, without what stands in functions */
function nodesOf(node) {
  if (!node || typeof node !== 'object' || node.type === 'FunctionExpression') return [];
  return [node, ...Object.values(node).flatMap(nodesOf)];
}

/** @returns {boolean} whether an expression only reads */
const isInert = (node) =>
  nodesOf(node).every(
    ({ type, operator }) => !/^(Call|New|Assignment|Update)/.test(type) && operator !== 'delete'
  );

/**
 * @returns {boolean} whether its place among its like beside it may be another: a function is there before
 *   all else; nothing sees when a variable gets what is only read, or in which order private properties are
 */
function isMovable(node) {
  if (node?.type === 'VariableDeclarator') return isInert(node.init);
  if (node?.type === 'Property') return PRIVATE.test(node.key.name) && isInert(node.value);
  return node?.type === 'FunctionDeclaration';
}

/** @returns {boolean} whether none of two that are movable reads the other */
const areFree = (one, other) =>
  nodesOf(one.init).every(({ name }) => name !== other.id?.name) &&
  nodesOf(other.init).every(({ name }) => name !== one.id?.name);

/** @returns {object[][]} what stands in a row, and may in any order */
function findRows(tree) {
  const rows = [];
  const visit = (node) => {
    if (!node || typeof node !== 'object') return;
    const children = Object.values(node);
    let row = [];
    for (const child of children) {
      if (!isMovable(child)) row = [];
      else if (row.length && row.every((one) => areFree(one, child))) row.push(child);
      else rows.push((row = [child]));
    }
    children.forEach(visit);
  };
  visit(tree);
  return rows.sort(([a], [b]) => a.start - b.start);
}

const sortRow = ({ members }) => members.sort((a, b) => a.symbol.rank - b.symbol.rank);

/**
 * Cut the code into what stands where.
 *
 * @returns `pieces`: `{ text, start }`, symbols in the places of their names, and rows; and all `rows`,
 *   whose `members` have pieces again
 */
function cut(code, symbols) {
  const places = symbols.flatMap((symbol) => symbol.starts.map((start) => ({ start, symbol })));
  places.sort((a, b) => a.start - b.start);
  const symbolAt = new Map(places.map(({ start, symbol }) => [start, symbol]));
  const left = findRows(parse(code, { ecmaVersion: 5 }));
  const rows = [];
  let at = 0;

  function take(end) {
    const pieces = [];
    const copy = (to) => {
      pieces.push({ text: code.slice(at, to), start: at });
      at = to;
    };
    for (;;) {
      const start = Math.min(places[0]?.start ?? end, left[0]?.[0].start ?? end);
      if (start >= end) break;
      copy(start);
      if (left[0]?.[0].start === start) {
        const nodes = left.shift();
        const separator = { text: nodes[0].type === 'FunctionDeclaration' ? '' : ',' };
        const row = { members: [], separator };
        rows.push(row);
        pieces.push(row);
        for (const { id, key, start, end } of nodes) {
          // One keeps its name and is no symbol: the table cannot have its place, which is the first.
          const symbol = symbolAt.get((id ?? key).start) ?? { rank: -1 };
          at = start;
          row.members.push({ symbol, pieces: take(end) });
        }
        sortRow(row);
      } else {
        const { symbol } = places.shift();
        pieces.push(symbol);
        at += symbol.length;
      }
    }
    copy(end);
    return pieces;
  }

  return { pieces: take(code.length), rows };
}

/** Call `use` with each text and each symbol, as they stand now. */
function walk(pieces, use) {
  for (const piece of pieces) {
    if (!piece.members) use(piece);
    else {
      piece.members.forEach((one, i) => {
        if (i) use(piece.separator);
        walk(one.pieces, use);
      });
    }
  }
}

/**
 * Write the code with the symbols' names, and each row in its order.
 *
 * @param {string} code
 * @param symbols
 * @returns {{ code: string, toColumn: (column: number) => number }} and where a column went
 */
export function rename(code, symbols) {
  const moves = [];
  let text = '';
  walk(cut(code, symbols).pieces, (piece) => {
    if (piece.start !== undefined) moves.push([piece.start, text.length]);
    text += piece.name ?? piece.text;
  });
  moves.sort(([a], [b]) => a - b);
  const starts = moves.map(([start]) => start);
  const toColumn = (wanted) => {
    const [from, to] = moves[starts.findLastIndex((start) => start <= wanted)];
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
 * Better the names and the ranks by trying (simulated annealing).
 *
 * @param {string} code
 * @param symbols with their names and ranks
 * @param {string} footer what will stand behind the code
 * @param {number} seconds
 */
export function improve(code, symbols, footer, seconds) {
  const { pieces, rows } = cut(code, symbols);
  const places = rows.flatMap((row) => (row.members.length > 1 ? row.members.map(() => row) : []));
  const write = () => {
    const texts = [];
    walk(pieces, (piece) => texts.push(piece.name ?? piece.text));
    return texts.join('') + footer;
  };

  /** @returns a change at random that was made, as what takes it back; null where there is none */
  function change() {
    const row = Math.random() < MOVES && places.length && pick(places);
    if (row) {
      const { symbol } = pick(row.members);
      const { rank } = symbol;
      const move = (to) => {
        symbol.rank = to;
        // A property may stand in several.
        rows.filter(({ members }) => members.some((one) => one.symbol === symbol)).forEach(sortRow);
      };
      // What is no symbol stays the first.
      if (rank < 0) return null;
      move(Math.abs(pick(row.members).symbol.rank + Math.random() - 0.5));
      return () => move(rank);
    }
    const symbol = pick(symbols);
    const own = symbol.name;
    const name =
      Math.random() < 0.5 && symbol.rivals.length ? pick(symbol.rivals).name : pick(LETTERS);
    const swapped = name === own ? [] : chain(symbol, name);
    const swap = () => swapped.forEach((one) => (one.name = one.name === own ? name : own));
    if (!swapped.length) return null;
    swap();
    return swap;
  }

  /** @returns what brings back the names and the ranks of now */
  function keep() {
    const kept = symbols.map(({ name, rank }) => ({ name, rank }));
    return () => symbols.forEach((symbol, i) => Object.assign(symbol, kept[i]));
  }

  const start = Date.now();
  let size = sizeOf(write());
  let best = size;
  let restore = keep();
  for (;;) {
    const passed = (Date.now() - start) / 1000 / seconds;
    if (passed > 1) break;
    const undo = change();
    if (!undo) continue;
    const loss = FIRST_LOSS * Math.max(0, 1 - passed / LOSING);
    const limit = size - loss * Math.log(1 - Math.random());
    const text = write();
    // The quicker one first: most changes are of no use.
    const found = zlibSizeOf(text) > limit ? Infinity : sizeOf(text);
    if (found > limit) {
      undo();
      continue;
    }
    size = found;
    if (size > best) continue;
    best = size;
    restore = keep();
  }
  restore();
}

/** @returns {Record<string, string>} the table of the symbols' names, by their ranks */
export function tabulate(symbols) {
  const sorted = [...symbols].sort((a, b) => a.rank - b.rank);
  return Object.fromEntries(sorted.map(({ key, name }) => [key, name]));
}
