import { describe, expect, test } from 'vitest';
import {
  afterRefusal,
  changedValues,
  decide,
  decideAgain,
  type Refusal,
  rowError,
} from '../../../../src/dataverse/bulk/decisions.ts';
import type { Found } from '../../../../src/dataverse/bulk/look-up.ts';
import type { RowToWrite, WriteMode } from '../../../../src/dataverse/bulk/row-to-write.ts';
import { errorFromAnswer } from '../../../../src/dataverse/errors.ts';
import { id, row } from './world.ts';

const NEW = id(1000);
const byNumber = row(0, 'A');
const byId: RowToWrite = { ...byNumber, key: { id: id(1) } };
const T = Date.parse('2026-11-21T10:00:00.900Z');

describe('what is to be done with a row', () => {
  test.each<
    [string, WriteMode, RowToWrite, Found | 'ambiguous' | undefined, { unsure?: boolean; since?: number }, object]
  >([
    ['upsert of a new row', 'upsert', byNumber, undefined, {}, { send: 'create', id: NEW }],
    ['upsert of a row that exists', 'upsert', byNumber, { id: id(7) }, {}, { send: 'update', id: id(7) }],
    ['upsert of a row that it has made', 'upsert', byNumber, { id: NEW }, {}, { outcome: 'created', id: NEW }],
    [
      'upsert of several rows',
      'upsert',
      byNumber,
      'ambiguous',
      {},
      { outcome: 'rejected', error: { code: 'ambiguousKey' } },
    ],
    ['upsert under the caller’s own id', 'upsert', byId, undefined, {}, { send: 'create', id: id(1) }],
    ['upsert after a lost create', 'upsert', byId, { id: id(1) }, { unsure: true }, { outcome: 'created', id: id(1) }],
    [
      'upsert after a lost create that another writer came before',
      'upsert',
      byNumber,
      { id: id(7) },
      { unsure: true },
      { send: 'update', id: id(7) },
    ],
    [
      'upsert of a row of the same second',
      'upsert',
      byId,
      { id: id(1), createdAt: T - 900 },
      { since: T },
      { send: 'update', as: 'created' },
    ],
    [
      'upsert of an older row',
      'upsert',
      byId,
      { id: id(1), createdAt: T - 901 },
      { since: T },
      { send: 'update', id: id(1) },
    ],
    ['create of a new row', 'create', byNumber, undefined, {}, { send: 'create', id: NEW }],
    [
      'create of a row that exists',
      'create',
      byNumber,
      { id: id(7) },
      {},
      { outcome: 'rejected', error: { code: 'alreadyExists' } },
    ],
    ['create of a row that it has made', 'create', byNumber, { id: NEW }, {}, { outcome: 'created' }],
    ['create of a young row', 'create', byId, { id: id(1), createdAt: T }, { since: T }, { outcome: 'created' }],
    ['update of a row that exists', 'update', byNumber, { id: id(7) }, {}, { send: 'update', id: id(7) }],
    ['update of no row', 'update', byNumber, undefined, {}, { outcome: 'rejected', error: { code: 'notFound' } }],
    ['delete of a row that exists', 'delete', byNumber, { id: id(7) }, {}, { send: 'delete', id: id(7) }],
    ['delete of a row under the id made for it', 'delete', byNumber, { id: NEW }, {}, { send: 'delete', id: NEW }],
    ['delete of no row', 'delete', byNumber, undefined, {}, { outcome: 'skipped', error: { code: 'notFound' } }],
    ['delete of no row after a lost delete', 'delete', byNumber, undefined, { unsure: true }, { outcome: 'deleted' }],
  ])('%s', (_, mode, each, found, { unsure = false, since }, expected) => {
    expect(decide(mode, each, found, { unsure, since })).toMatchObject(expected);
  });
});

const error = (status: number, code: string) =>
  errorFromAnswer({
    status,
    contentType: 'application/json',
    text: JSON.stringify({ error: { code, message: 'no' } }),
  });

describe('a refusal of one row', () => {
  const refusal = (send: Refusal['send'], status: number, code: string): Refusal => ({
    send,
    id: id(7),
    error: error(status, code),
  });

  test.each<[string, Refusal, { unsure?: boolean; lookedUp?: boolean }, unknown]>([
    ['of a create as duplicate id', refusal('create', 412, '0x80040237'), {}, 'lookUp'],
    ['of a create as duplicate key', refusal('create', 412, '0x80060892'), {}, 'lookUp'],
    ['of a create for its content', refusal('create', 400, '0x80044331'), {}, { outcome: 'rejected' }],
    ['of a create after a lost one', refusal('create', 400, '0x80044331'), { unsure: true }, 'lookUp'],
    ['of an update of no row', refusal('update', 404, '0x80040217'), {}, 'lookUp'],
    ['of an update as duplicate key', refusal('update', 412, '0x80060892'), {}, { outcome: 'rejected' }],
    [
      'of an update for its size after a lost one',
      refusal('update', 413, '0x8004418a'),
      { unsure: true },
      { outcome: 'rejected', error: { code: 'outcomeUnknown' } },
    ],
    ['of a delete of a remembered row', refusal('delete', 404, '0x80040217'), {}, 'lookUp'],
    [
      'of a delete of no row',
      refusal('delete', 404, '0x80040217'),
      { lookedUp: true },
      { outcome: 'skipped', error: { code: 'notFound' } },
    ],
    [
      'of a delete after a lost one',
      refusal('delete', 404, '0x80040217'),
      { unsure: true },
      { outcome: 'deleted', id: id(7) },
    ],
    ['of a delete for what depends on it', refusal('delete', 400, '0x80040227'), {}, { outcome: 'rejected' }],
  ])('%s', (_, each, { unsure = false, lookedUp = false }, expected) => {
    const decided = afterRefusal(each, { unsure, lookedUp });
    if (expected === 'lookUp') expect(decided).toBe(expected);
    else expect(decided).toMatchObject(expected as object);
  });

  test('stands where the look-up leads to the same thing once more', () => {
    const first = refusal('update', 404, '0x80040217');
    expect(decideAgain({ send: 'update', id: id(7) }, first)).toMatchObject({
      outcome: 'rejected',
      error: { code: '0x80040217' },
    });
    expect(decideAgain({ send: 'update', id: id(8) }, first)).toEqual({ send: 'update', id: id(8) });
    expect(decideAgain({ send: 'create', id: NEW }, first)).toEqual({ send: 'create', id: NEW });
  });

  test('names the column that the service names in its text', () => {
    const text =
      "The length of the 'name' attribute of the 'account' entity exceeded the maximum allowed length of '160'.";
    const told = errorFromAnswer({
      status: 400,
      contentType: '',
      text: JSON.stringify({ error: { code: '0x80044331', message: text } }),
    });
    expect(rowError(told)).toMatchObject({ code: '0x80044331', column: 'name', hint: expect.any(String) });
  });
});

test('only columns that are known to be otherwise are sent', () => {
  const values = { name: 'New', description: null, tickersymbol: 'T', 'x@odata.bind': '/contacts(1)' };
  const known = { name: 'Old', description: null, 'x@odata.bind': '/contacts(1)' };
  expect(changedValues({ ...byNumber, values, known })).toEqual({ name: 'New', tickersymbol: 'T' });
  expect(changedValues({ ...byNumber, values })).toEqual(values);
});
