/**
 * Marks as `type`, in the built declarations, what is none of a module's values. The bundler of the declarations drops the word, so that a class
 * whose type alone is exported looks as if it could be used as a value: it compiles, and is undefined.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

const root = join(import.meta.dirname, '..');
const require = createRequire(import.meta.url);

interface Conditions {
  readonly types: string;
  readonly default: string;
}
type Entry = string | { readonly import: Conditions; readonly require: Conditions };

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, Entry>>;
};
for (const entry of Object.values(exports)) {
  if (typeof entry === 'string') continue;
  const esm: object = await import(pathToFileURL(join(root, entry.import.default)).href);
  markTypes(join(root, entry.import.types), new Set(Object.keys(esm)));
  markTypes(join(root, entry.require.types), new Set(Object.keys(require(join(root, entry.require.default)))));
}

function markTypes(file: string, values: ReadonlySet<string>): void {
  const text = readFileSync(file, 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
  const places = source.statements
    .filter(ts.isExportDeclaration)
    .flatMap(({ isTypeOnly, exportClause }) =>
      exportClause && ts.isNamedExports(exportClause) && !isTypeOnly ? exportClause.elements : [],
    )
    .filter(({ isTypeOnly, name }) => !isTypeOnly && !values.has(name.text))
    .map((specifier) => specifier.getStart(source));
  let marked = text;
  for (const at of places.toReversed()) marked = `${marked.slice(0, at)}type ${marked.slice(at)}`;
  writeFileSync(file, marked);
}
