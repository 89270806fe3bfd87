import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { refusal, type World } from './world.ts';

/** What the test reads of a row with its contact. */
interface Row {
  readonly accountid: string;
  readonly primarycontactid: { readonly contactid: string };
}

const MISSING = '00000000-0000-0000-0000-000000000001';

/** Rows one by one: create, retrieve, update, upsert, delete, single columns, conditions. */
export function describeRows(world: World): void {
  const name = (text: string) => `${world.mark} ${text}`;

  describe('a row', () => {
    test('is created, read, changed and deleted', async () => {
      const { client } = world;
      const key = await world.create('accounts', { name: name('Litware'), telephone1: '555', description: null });
      expect(key).toMatch(/^[0-9a-f-]{36}$/);
      const select = ['name', 'telephone1', 'description'];
      const created = await client.retrieve({ collection: 'accounts', key, select });
      expect(created).toMatchObject({ accountid: key, name: name('Litware'), telephone1: '555', description: null });
      expect(created['@odata.etag']).toMatch(/^W\/"\d+"$/);
      expect(created['@odata.context']).toBe(`${world.apiUrl}$metadata#accounts(name,telephone1,description)/$entity`);

      const data = { telephone1: '556', description: 'changed' };
      expect(await client.update({ collection: 'accounts', key, data, tag: 'by the suite' })).toBe(true);
      const changed = await client.retrieve({ collection: 'accounts', key, select });
      expect(changed).toMatchObject(data);
      expect(changed['@odata.etag']).not.toBe(created['@odata.etag']);

      expect(await client.deleteRecord({ collection: 'accounts', key })).toBe(true);
      expect(await refusal(client.retrieve({ collection: 'accounts', key, select }))).toBe('404 0x80040217');
      expect(await refusal(client.deleteRecord({ collection: 'accounts', key }))).toBe('404 0x80040217');
    });

    test('is created with the rows it points to and the rows below it, and comes back as asked for', async () => {
      const { client } = world;
      const account = await client.create<object, Row>({
        collection: 'accounts',
        data: {
          name: name('Deep'),
          primarycontactid: { firstname: 'Ann', lastname: name('Prime') },
          Account_Tasks: [{ subject: name('Call') }, { subject: name('Write') }],
        },
        returnRepresentation: true,
        select: ['name', 'statecode'],
        expand: [
          { property: 'primarycontactid', select: ['fullname'] },
          { property: 'Account_Tasks', select: ['subject'], orderBy: ['subject'] },
        ],
        includeAnnotations: '*',
      });
      world.keep('accounts', account.accountid);
      world.keep('contacts', account.primarycontactid.contactid);
      expect(account).toMatchObject({
        name: name('Deep'),
        statecode: 0,
        statecode_Formatted: 'Active',
        primarycontactid: { fullname: `Ann ${name('Prime')}` },
        Account_Tasks: [{ subject: name('Call') }, { subject: name('Write') }],
      });
    });

    test('comes back after a change when that is asked for', async () => {
      const { client } = world;
      const key = await world.create('accounts', { name: name('Back') });
      const request = { collection: 'accounts', key, returnRepresentation: true, select: ['name', 'telephone1'] };
      const updated = await client.update({ ...request, data: { telephone1: '1' } });
      expect(updated).toMatchObject({ accountid: key, telephone1: '1', name: name('Back') });
      const upserted = await client.upsert({ ...request, data: { telephone1: '2' } });
      expect(upserted).toMatchObject({ accountid: key, telephone1: '2' });
    });

    test('keeps quotes, line ends, markup and every script', async () => {
      const description = `O'Brien & "Söhne" <b>Łódź</b>\n東京 😀 \\ / % + ? # {${MISSING}}`;
      const key = await world.create('accounts', { name: name('Awkward'), description });
      const found = await world.client.retrieve({ collection: 'accounts', key, select: ['description'] });
      expect(found.description).toBe(description);
    });

    test('is found under the name of its table too', async () => {
      const client = world.newClient({ useEntityNames: true });
      const key = await world.create('contacts', { lastname: name('Named') });
      const parent = await world.create('accounts', { name: name('Named') });
      const data = { 'parentcustomerid_account@odata.bind': `account(${parent})` };
      expect(await client.update({ collection: 'contact', key, data })).toBe(true);
      const found = await client.retrieve({ collection: 'contact', key, select: ['_parentcustomerid_value'] });
      expect(found._parentcustomerid_value).toBe(parent);
      expect(client.Utility.getCollectionName('contact')).toBe('contacts');
    });
  });

  describe('conditions', () => {
    test('hold back changes of what somebody else has changed', async () => {
      const { client } = world;
      const key = await world.create('accounts', { name: name('Conditional') });
      const row = { collection: 'accounts', key };
      const { '@odata.etag': stale } = await client.retrieve({ ...row, select: ['name'] });
      await client.update({ ...row, data: { telephone1: '1' }, ifmatch: stale });
      // The client's own way to say 412.
      expect(await client.update({ ...row, data: { telephone1: '2' }, ifmatch: stale })).toBe(false);
      expect(await client.deleteRecord({ ...row, ifmatch: stale })).toBe(false);
      const strict = world.newClient({ propagateErrors: true });
      const late = strict.update({ ...row, data: { telephone1: '2' }, ifmatch: stale });
      await expect(late).rejects.toMatchObject({ status: 412 });
      const found = await client.retrieve({ ...row, select: ['telephone1'] });
      expect(found.telephone1).toBe('1');
    });

    test('leave out what the client has already', async () => {
      const { client } = world;
      const key = await world.create('accounts', { name: name('Known') });
      const row = { collection: 'accounts', key, select: ['name'] };
      const { '@odata.etag': current } = await client.retrieve(row);
      expect(await client.retrieve({ ...row, ifnonematch: current })).toBeUndefined();
      await client.update({ collection: 'accounts', key, data: { telephone1: '1' } });
      expect(await client.retrieve({ ...row, ifnonematch: current })).toMatchObject({ accountid: key });
    });

    test('make an upsert a create or an update only', async () => {
      const { client } = world;
      const key = randomUUID();
      const row = { collection: 'accounts', key, data: { name: name('Upserted') } };
      expect(await client.upsert({ ...row, ifmatch: '*' })).toBeNull();
      expect(world.keep('accounts', await client.upsert<object, string>(row))).toBe(key);
      expect(await client.upsert({ ...row, ifnonematch: '*' })).toBeNull();
      expect(await refusal(client.update({ ...row, key: MISSING }))).toBe('404 0x80040217');
      const changed = { name: name('Upserted again') };
      expect(await client.upsert<object, string>({ ...row, data: changed, ifmatch: '*' })).toBe(key);
      expect(await client.retrieve({ collection: 'accounts', key, select: ['name'] })).toMatchObject(changed);
    });
  });

  describe('one column', () => {
    test('is written, read and cleared by its own address', async () => {
      const { client } = world;
      const key = await world.create('accounts', { name: name('Single'), telephone1: '1' });
      const row = { collection: 'accounts', key };
      await client.updateSingleProperty({ ...row, fieldValuePair: { telephone1: '2' } });
      expect(await client.retrieve({ ...row, select: ['/telephone1'] })).toMatchObject({ value: '2' });
      await client.deleteRecord({ ...row, property: 'telephone1' });
      expect((await client.retrieve({ ...row, select: ['telephone1'] })).telephone1).toBeNull();
    });

    test('that is a lookup leads to its row, to some of its columns and to its address', async () => {
      const { client } = world;
      const contact = await world.create('contacts', { firstname: 'Ann', lastname: name('Led') });
      const key = await world.create('accounts', {
        name: name('Leading'),
        'primarycontactid@odata.bind': `/contacts(${contact})`,
      });
      const row = { collection: 'accounts', key };
      const led = await client.retrieve({ ...row, navigationProperty: 'primarycontactid', select: ['fullname'] });
      expect(led).toMatchObject({ contactid: contact, fullname: `Ann ${name('Led')}` });
      const reference = await client.retrieve({ ...row, select: ['primarycontactid/$ref'] });
      expect(reference).toMatchObject({ id: contact, collection: 'contacts' });
      const noted = await client.retrieve({
        ...row,
        select: ['_primarycontactid_value'],
        expand: [{ property: 'primarycontactid', select: ['lastname'] }],
        includeAnnotations: '*',
        noCache: true,
      });
      expect(noted).toMatchObject({
        _primarycontactid_value: contact,
        _primarycontactid_value_Formatted: `Ann ${name('Led')}`,
        _primarycontactid_value_LogicalName: 'contact',
        _primarycontactid_value_NavigationProperty: 'primarycontactid',
        primarycontactid: { lastname: name('Led') },
      });
    });
  });

  describe('a request that makes no sense', () => {
    test.each<[string, object, string]>([
      ['a column that is not there', { nonsense: 1 }, '400 0x0'],
      ['a text that is too long', { name: 'x'.repeat(161) }, '400 0x80044331'],
      ['a text for a number', { numberofemployees: 'many' }, '400 0x80048d19'],
      [
        'a lookup to a row that is not there',
        { 'primarycontactid@odata.bind': `/contacts(${MISSING})` },
        '404 0x80040217',
      ],
    ])('is refused: %s', async (_what, data, expected) => {
      expect(await refusal(world.client.create({ collection: 'accounts', data }))).toBe(expected);
    });

    test('names the table that is not there', async () => {
      const request = world.client.retrieveMultiple({ collection: 'nonsenses' });
      await expect(request).rejects.toMatchObject({
        status: 404,
        message: "Resource not found for the segment 'nonsenses'.",
      });
    });
  });
}
