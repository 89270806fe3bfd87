import { createHash } from 'node:crypto';
import * as z from 'zod';
import { type Clock, isoTime } from '../shared/clock.ts';
import { BridgeError } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import type { Storage } from '../storage/storage.ts';
import type { TableValue } from '../storage/tables.ts';

/** A page token that was not given by us, has expired, or belongs to something else. */
export class PageError extends BridgeError<'pageInvalid'> {
  /** The HTTP status of its answer. */
  readonly status = 400;

  constructor(message: string) {
    super('pageInvalid', message, { hint: 'Start again without page, and pass nextPage on as it is.' });
  }
}

/**
 * Where listings go on. The service's own tokens have no bound and hold its addresses; so what a listing needs to go on
 * stays in the app's storage, and callers get a name for it that cannot be guessed: 64 digits of chance, which hold
 * nothing. It is bound to the listing by a digest and lives for a day.
 */
export interface Pages {
  /** Keeps where a listing goes on and gives the token for it. `listing` says what is listed, as JSON. */
  keep(listing: unknown, state: unknown, signal?: AbortSignal): Promise<string>;
  /** What was kept under a token, with the digest of its listing. Throws PageError for a token that is none. */
  find(token: string, signal?: AbortSignal): Promise<{ readonly listing: string; readonly state: unknown }>;
}

/** The digest that binds a token to a listing. */
export const listingDigest = (listing: unknown): string =>
  createHash('sha256').update(JSON.stringify(listing)).digest('base64url');

const TABLE = 'querypages';
const LIFETIME_MS = 24 * 60 * 60_000;
/** Expired pages are looked for this often at most. */
const SWEEP_MS = 10 * 60_000;
const SWEPT_AT_ONCE = 100;
/** A text property takes 32 Ki UTF-16 units. */
const PIECE = 30_000;
const TOKEN = /^[0-9a-f]{64}$/;

export interface PagesOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly newId: NewId;
}

export function createPages({ storage, clock, newId }: PagesOptions): Pages {
  const table = storage.table(TABLE);
  let sweptAt = clock.now();

  /** Rows are kept by the day that they end on, so that those of days gone by are found without a scan. */
  const sweep = async (signal: AbortSignal | undefined): Promise<void> => {
    if (clock.now() - sweptAt < SWEEP_MS) return;
    sweptAt = clock.now();
    const today = dayOf(clock.now());
    const where = [{ name: 'partition', is: 'lt', value: today }] as const;
    const { entities } = await table.query({ where, limit: SWEPT_AT_ONCE }, signal);
    await Promise.all(entities.map(({ partition, row }) => table.remove(partition, row, undefined, signal)));
  };

  return {
    async keep(listing, state, signal) {
      await sweep(signal);
      const token = (newId() + newId()).replaceAll('-', '');
      const expiresAt = clock.now() + LIFETIME_MS;
      const properties = { listing: listingDigest(listing), expiresAt, ...inPieces(JSON.stringify(state)) };
      await table.insert({ partition: dayOf(expiresAt), row: token, properties }, signal);
      return token;
    },
    async find(token, signal) {
      if (!TOKEN.test(token)) throw new PageError('The page is not one that was given.');
      for (const at of [clock.now() + LIFETIME_MS, clock.now()]) {
        const entity = await table.get(dayOf(at), token, signal);
        const kept = entity && properties.parse(entity.properties);
        if (kept && kept.expiresAt > clock.now()) {
          return { listing: kept.listing, state: JSON.parse(pieces(entity.properties)) };
        }
      }
      throw new PageError('The page is not one that was given, or it has expired.');
    },
  };
}

const properties = z.looseObject({ listing: z.string(), expiresAt: z.number() });

const dayOf = (time: number): string => isoTime(time).slice(0, 10);

function inPieces(text: string): Record<string, string> {
  const count = Math.ceil(text.length / PIECE);
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`state${at}`, text.slice(at * PIECE, (at + 1) * PIECE)]),
  );
}

function pieces(stored: Readonly<Record<string, TableValue>>): string {
  let text = '';
  for (let at = 0; stored[`state${at}`] !== undefined; at += 1) text += stored[`state${at}`];
  return text;
}
