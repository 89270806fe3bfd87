import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { extraCaFile, openAuthority } from '../../src/local/certificates.ts';
import { messageOf } from '../../src/shared/errors.ts';
import type { BenchLine, BenchResult } from './result.ts';

/** Benchmarks by name: each is a program beside this one that hands its result to `report`. */
const BENCHES = ['tokens', 'cold-start', 'actions', 'emulator', 'writer'] as const;

/** Runs benchmarks one after the other, each in a process of its own that trusts the local authority. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'string' }, target: { type: 'string' }, model: { type: 'string' } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !BENCHES.some((known) => known === name));
  if (unknown.length > 0)
    throw new Error(`There is no benchmark ${unknown.join(', ')}; there are ${BENCHES.join(', ')}.`);
  const service = [
    ...(values.target === undefined ? [] : ['--target', values.target]),
    ...(values.model === undefined ? [] : ['--model', values.model]),
  ];
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-bench-'));
  try {
    const authority = openAuthority(folder);
    const env = {
      ...process.env,
      NODE_EXTRA_CA_CERTS: extraCaFile(authority, process.env['NODE_EXTRA_CA_CERTS']),
      BENCH_AUTHORITY: folder,
    };
    const results: BenchResult[] = [];
    for (const name of BENCHES.filter((known) => positionals.length === 0 || positionals.includes(known))) {
      const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
      const result = await resultOf(['--expose-gc', file, ...(name === 'writer' ? service : [])], env);
      results.push(result);
      process.stdout.write(`${table(result)}\n`);
    }
    if (values.json !== undefined) {
      const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
      const figures = Object.assign({}, ...results.map((result) => result.figures ?? {}));
      writeFileSync(values.json, `${JSON.stringify({ machine, figures, results }, null, 2)}\n`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a program, whose last line is its result; what it tells meanwhile is passed on. */
async function resultOf(args: readonly string[], env: NodeJS.ProcessEnv): Promise<BenchResult> {
  const child = spawn(process.execPath, [...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`A benchmark ended with ${code}.`);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as BenchResult;
}

function table({ bench, lines }: BenchResult): string {
  const cells = lines.map((line) => [
    line.what,
    amount(line.ours, line.unit),
    line.peer ? `${line.peer.name} ${amount(line.peer.value, line.unit)}` : '',
    ratio(line),
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return [
    bench,
    ...cells.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()),
  ].join('\n');
}

const amount = (value: number, unit: string): string =>
  `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toPrecision(2)} ${unit}`;

/** Ours to the peer, the smaller of them being 1. */
function ratio({ ours, peer }: BenchLine): string {
  if (!peer || ours <= 0 || peer.value <= 0) return '';
  const times = (larger: number, smaller: number): string => {
    const quotient = larger / smaller;
    return quotient < 10 ? quotient.toFixed(1) : String(Math.round(quotient));
  };
  return ours > peer.value ? `${times(ours, peer.value)} : 1` : `1 : ${times(peer.value, ours)}`;
}

await main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
});
