/** What the README says, held to what is. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import * as api from '../src/index.ts';

const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const readme = readFileSync(root('README.md'), 'utf8');

describe('the README', () => {
  it('has a quick start that runs as it stands', () => {
    const quickStart = readFileSync(root('examples/quick-start.ts'), 'utf8').trimEnd();
    expect(readme).toContain(`\`\`\`ts\n${quickStart}\n\`\`\``);
    const folder = mkdtempSync(join(tmpdir(), 'tw-quick-start-'));
    try {
      const out = execFileSync(
        process.execPath,
        [root('node_modules/tsx/dist/cli.mjs'), '--tsconfig', root('tsconfig.json'), root('examples/quick-start.ts')],
        {
          cwd: folder,
          encoding: 'utf8',
        },
      );
      expect(existsSync(join(folder, 'data/triage.db'))).toBe(true);
      expect(out).toContain(`isolating { host: { hostname: 'ws-7' } }`);
      expect(out).toContain('1 incident found');
      for (const action of ['incident_created', 'approval_approved', 'action_executed']) expect(out).toContain(action);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('lists every error with its code', () => {
    const classes = Object.entries(api).filter(
      ([, value]) => typeof value === 'function' && value.prototype instanceof api.StoreError,
    );
    expect(classes.length).toBeGreaterThan(20);
    for (const [name, value] of classes) {
      const make = value as new (...all: unknown[]) => api.StoreError;
      const { code } = new make([], [], '', []);
      expect(readme).toContain(`| \`${name}\` | \`${code}\` |`);
    }
  });

  it('names every public method of the twelve repositories, and none that is not', () => {
    const shared = ['get', 'find', 'list', 'listPage', 'count', 'stream', 'select'];
    const repositories = publicMethods();
    expect(Object.keys(repositories)).toHaveLength(12);
    for (const [name, methods] of Object.entries(repositories)) {
      const row = new RegExp(`^\\| \\w+ \\| \`${name}\` \\| (.*) \\|$`, 'm').exec(readme)?.[1] ?? '';
      const told = [...row.matchAll(/`(\w+)`/g)].map(([, method]) => method as string);
      // settings and sessions read in their own way
      const read = name === 'settings' ? [] : shared;
      expect(methods, name).toEqual(expect.arrayContaining(read));
      expect(told.sort(), name).toEqual(methods.filter((method) => !read.includes(method)).sort());
    }
  });
});

/** The public methods of a handle's repositories, by the repository, as the built declarations tell them. */
function publicMethods(): Record<string, string[]> {
  const file = root('dist/index.d.ts');
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    strict: true,
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const index = checker.getSymbolAtLocation(program.getSourceFile(file) as ts.SourceFile) as ts.Symbol;
  const handle = checker.getExportsOfModule(index).find(({ name }) => name === 'Handle') as ts.Symbol;
  const isPublic = ({ declarations = [] }: ts.Symbol) =>
    declarations.every(
      (declaration) =>
        !(ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)),
    );
  const members = (type: ts.Type, flag: ts.SymbolFlags) =>
    type.getProperties().filter((member) => isPublic(member) && member.flags & flag && !member.name.startsWith('__'));
  return Object.fromEntries(
    members(checker.getDeclaredTypeOfSymbol(aliased(checker, handle)), ts.SymbolFlags.Property).map((repository) => [
      repository.name,
      members(checker.getTypeOfSymbol(repository), ts.SymbolFlags.Method).map(({ name }) => name),
    ]),
  );
}

const aliased = (checker: ts.TypeChecker, symbol: ts.Symbol) =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
