import { join } from 'node:path';
import type { BlobStore } from '../storage/blobs.ts';
import { type Engine, sqlText } from './engine.ts';

/**
 * A snapshot is what the service has accepted, a row of the table a line: `key_text` (the key in comparable form),
 * `key` (a JSON object), `hash` of what was sent, `id`, and `absent` once the row has left the segment.
 */
const COLUMNS = 'key_text varchar, key varchar, hash varchar, id varchar, absent boolean';

/** Two workers that finish one run write two blobs, so that neither can spoil the other's; `attempt` tells them apart. */
export const snapshotPath = (activation: string, run: string, attempt: string): string =>
  `snapshots/${activation}/${run}-${attempt}.parquet`;
export const planRowsPath = (folder: string): string => `${folder}/plan.parquet`;

/** Reads a snapshot into `bridge.snapshot`; without a path an empty one. False where the blob is gone. */
export async function loadSnapshot(
  engine: Engine,
  blobs: BlobStore,
  path: string | undefined,
  signal?: AbortSignal,
): Promise<boolean> {
  await engine.run(`create table bridge.snapshot (${COLUMNS})`);
  if (path === undefined) return true;
  const file = join(engine.folder, 'snapshot.parquet');
  if (!(await blobs.download(path, file, signal))) return false;
  await engine.run(
    `insert into bridge.snapshot select key_text, key, hash, id, absent from read_parquet(${sqlText(file)})`,
  );
  return true;
}

/**
 * Writes the snapshot after a run, out of `bridge.snapshot`, the plan's rows in `bridge.planned` and their outcomes in
 * `bridge.outcome`. Accepted rows are remembered as sent. A rejected row keeps what was accepted before. A row given
 * up keeps its id but no hash, since nobody knows which of its values the service has. A row that left the segment is
 * kept and marked, so that its return is an update.
 */
export async function writeSnapshot(
  engine: Engine,
  blobs: BlobStore,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const file = join(engine.folder, 'next.parquet');
  await engine.run(
    `copy (
       select p.key_text, p.key,
         case when o.outcome in ('created', 'updated', 'unchanged') then p.hash
              when o.outcome = 'skipped' then '' else s.hash end as hash,
         coalesce(o.id, s.id) as id, false as absent
       from bridge.planned p
       join bridge.outcome o on o."index" = p."index"
       left join bridge.snapshot s on s.key_text = p.key_text
       where o.outcome in ('created', 'updated', 'unchanged') or s.key_text is not null
       union all
       select s.key_text, s.key, s.hash, s.id, true
       from bridge.snapshot s anti join bridge.planned p on p.key_text = s.key_text
     ) to ${sqlText(file)} (format parquet, compression zstd)`,
  );
  await blobs.upload(path, file, {}, signal);
}
