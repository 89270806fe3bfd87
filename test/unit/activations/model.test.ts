import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Engine, openEngine } from '../../../src/activations/engine.ts';
import { runModel } from '../../../src/activations/model.ts';
import { systemClock } from '../../../src/shared/clock.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'model-test-'));
  writeFileSync(join(folder, 'secret.csv'), 'secret\n42\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run<T>(model: string, look: (engine: Engine) => Promise<T>, timeoutMs = 60_000): Promise<T> {
  const engine = await openEngine(folder);
  try {
    await engine.run(`create table source as select range::varchar as number, 'x' as "Company Name" from range(3)`);
    await engine.run('create table bridge.snapshot as select 1 as secret');
    await runModel(engine, model, { clock: systemClock, timeoutMs });
    return await look(engine);
  } finally {
    engine.close();
  }
}

const rowsOf = (model: string) => run(model, (engine) => engine.all('select * from bridge.model'));

describe('a model', () => {
  test('selects from the source, in its order, with comments, semicolons and common table expressions', async () => {
    const model = `with big as (select number::int + 1 as n, "Company Name" as company from source) -- note
      select n, company from big where n > 1 order by n desc;`;
    expect(await rowsOf(model)).toEqual([
      { n: 3, company: 'x' },
      { n: 2, company: 'x' },
    ]);
  });

  test.each([
    ['unnest', 'select unnest([1, 2]) as n'],
    [
      'a recursive query',
      'with recursive t as (select 1 as n union all select n + 1 from t where n < 2) select n from t',
    ],
    ['values and ranges', 'select * from range(1, 3) as r(n) where n in (select * from (values (1), (2)))'],
  ])('may use %s', async (_, model) => {
    expect(await rowsOf(model)).toHaveLength(2);
  });

  test.each([
    ["select * from 'FOLDER/secret.csv'"],
    ["select * from read_csv('FOLDER/secret.csv')"],
    ["select * from read_text('/etc/hostname')"],
    ["select * from glob('/*')"],
    ["select * from 'https://example.com/a.parquet'"],
    ['select * from bridge.snapshot'],
    ['with snapshot as (select * from source) select * from bridge.snapshot'],
    ['select * from information_schema.tables'],
    ['select (select count(*) from duckdb_settings()) as n'],
    ['select number from source where number in (select name from duckdb_secrets())'],
    ["select * from query('select 1')"],
    ["select * from query_table('source')"],
    ["select current_setting('temp_directory') as n"],
    ["select getenv('PATH') as n"],
    ["select write_log('x') as n"],
    ['show tables'],
    ['select * from (describe source)'],
    ['select 1 as a; select 2 as b'],
    ["copy source to 'FOLDER/out.csv'"],
    ["attach 'FOLDER/x.db'"],
    ['install httpfs'],
    ['set threads = 8'],
    ['pragma database_list'],
    ['create table x as select 1'],
    ['drop table source'],
    ['selec number'],
    ['select missing from source'],
    [''],
  ])('cannot be: %s', async (model) => {
    await expect(rowsOf(model.replace('FOLDER', folder))).rejects.toMatchObject({ code: 'modelInvalid' });
  });

  test('leaves an engine behind that reaches no file and takes no setting', async () => {
    await run('select number from source', async (engine) => {
      await expect(engine.run(`select * from read_csv('${folder}/secret.csv')`)).rejects.toThrow(/disabled/);
      await expect(engine.run('set threads = 1')).rejects.toThrow(/locked/);
      await expect(engine.run('set enable_external_access = true')).rejects.toThrow();
    });
  });

  test('is stopped when it takes too long', async () => {
    const endless = 'with recursive t as (select 1 as n union all select n + 1 from t) select max(n) as n from t';
    await expect(run(endless, async () => undefined, 50)).rejects.toMatchObject({ code: 'modelTimeout' });
  });

  test('fails without telling the value that it failed on', async () => {
    const failure = rowsOf(`select ("Company Name" || 'secret')::int as n from source`);
    await expect(failure).rejects.toMatchObject({ code: 'modelInvalid' });
    await expect(failure).rejects.not.toThrow(/xsecret/);
  });
});
