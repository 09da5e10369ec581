import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign, findSymbols, improve, rename, tabulate } from '../scripts/names.mjs';

const CODE =
  '(function(){function add(first,second){return first.value_+second.value_+own}' +
  'function WebSocket(){}function twice(value){function half(){return value/2}function same(){return half()*2}' +
  'return same()+value}function unused(){return twice(1)}' +
  'var own=1,result=function again(count){try{return count?again(count-1):add({value_:own},' +
  '{value_:2})}catch(error){return String(error)}};return result(3)+twice(4)})()';

/** @returns {string[]} which places have the same symbol */
const meaning = (symbols, toColumn) =>
  symbols
    .map(({ starts }) =>
      starts
        .map(toColumn)
        .sort((a, b) => a - b)
        .join()
    )
    .sort();

for (const table of [
  {},
  { '/0.add': 'n', '/0.own': 'n', '/0/again.count': 'String', value_: 'n' },
]) {
  test(`names keep their meaning with the table ${JSON.stringify(table)}`, () => {
    const symbols = findSymbols(CODE);
    assign(symbols, table);
    improve(CODE, symbols, '', 0.1);
    const { code, toColumn } = rename(CODE, symbols);

    assert.equal((0, eval)(code), (0, eval)(CODE));
    const variables = symbols.filter(({ scope }) => scope);
    const found = findSymbols(code);
    assert.deepEqual(
      meaning(found, (start) => start),
      meaning(variables, toColumn)
    );
    assert.ok(code.length < CODE.length);
    const again = findSymbols(CODE);
    assign(again, tabulate(symbols));
    assert.equal(rename(CODE, again).code, code);
  });
}

test('two properties may share a name only where no object has both', () => {
  const symbols = findSymbols(
    'var one={first_:1,second_:2},other={third_:3};one.late_=4;' +
      'Object.defineProperties(other,{defined_:{value:5}})'
  ).filter(({ scope }) => !scope);
  const rivals = Object.fromEntries(
    symbols.map((symbol) => [symbol.key, symbol.rivals.map(({ key }) => key).sort()])
  );
  const all = ['defined_', 'first_', 'late_', 'second_', 'third_'];
  assert.deepEqual(rivals, {
    first_: ['defined_', 'late_', 'second_'],
    second_: ['defined_', 'first_', 'late_'],
    third_: ['defined_', 'late_'],
    late_: all.filter((key) => key !== 'late_'),
    defined_: all.filter((key) => key !== 'defined_'),
  });
});
