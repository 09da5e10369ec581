import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import es from 'eslint-plugin-es-x';
import globals from 'globals';

export default defineConfig([
  { ignores: ['dist/'] },
  js.configs.recommended,
  {
    files: ['src/**/*.js'],
    extends: [es.configs['flat/restrict-to-es5']],
    languageOptions: { ecmaVersion: 2015, sourceType: 'module', globals: globals.browser },
    settings: { 'es-x': { aggressive: true } },
    rules: {
      'es-x/no-modules': 'off',
      // Used only where the engine has them.
      'es-x/no-typed-arrays': 'off',
      'es-x/no-resizable-and-growable-arraybuffers': 'off',
      'no-unused-vars': ['error', { args: 'after-used', caughtErrors: 'none' }],
      // Array's methods of the same names are meant.
      'es-x/no-iterator-prototype-every': 'off',
      'es-x/no-iterator-prototype-filter': 'off',
      'es-x/no-iterator-prototype-foreach': 'off',
      'es-x/no-iterator-prototype-map': 'off',
      'es-x/no-iterator-prototype-some': 'off',
      'no-var': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: ['test/**/*.js', 'scripts/**/*.mjs', '*.config.mjs'],
    languageOptions: { ecmaVersion: 2024, sourceType: 'module', globals: globals.node },
  },
]);
