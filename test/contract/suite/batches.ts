import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { World } from './world.ts';

/** Several operations in one request. */
export function describeBatches(world: World): void {
  const name = (text: string) => `${world.mark} ${text}`;
  const count = (text: string) =>
    world.client.count({ collection: 'accounts', filter: `startswith(name,'${name(text)}')` });

  describe('a batch', () => {
    test('reads and writes in its order', async () => {
      const account = await world.create('accounts', { name: name('Batch'), telephone1: '1' });
      const client = world.newClient({});
      client.startBatch();
      await client.retrieve({ collection: 'accounts', key: account, select: ['telephone1'] });
      await client.update({ collection: 'accounts', key: account, data: { telephone1: '2' }, inChangeSet: false });
      await client.retrieveMultiple({
        collection: 'accounts',
        select: ['telephone1'],
        filter: `name eq '${name('Batch')}'`,
        includeAnnotations: '*',
      });
      await client.fetch({
        collection: 'accounts',
        fetchXml:
          '<fetch><entity name="account"><attribute name="telephone1"/><filter>' +
          `<condition attribute="accountid" operator="eq" value="${account}"/></filter></entity></fetch>`,
      });
      await client.count({ collection: 'accounts' });
      await client.callFunction('WhoAmI');
      await client.upsert({ collection: 'accounts', key: account, data: { telephone1: '3' }, inChangeSet: false });
      await client.deleteRecord({ collection: 'accounts', key: account, inChangeSet: false });
      const [before, , listed, fetched, counted, who, upserted] = await client.executeBatch();
      expect(before).toMatchObject({ accountid: account, telephone1: '1' });
      expect(listed.value).toMatchObject([{ accountid: account, telephone1: '2' }]);
      expect(fetched.value).toMatchObject([{ telephone1: '2' }]);
      expect(counted).toBeGreaterThan(0);
      expect(who.UserId).toMatch(/^[0-9a-f-]{36}$/);
      expect(upserted).toBe(account);
      expect(await count('Batch')).toBe(0);
    });

    test('links what its change set creates', async () => {
      const client = world.newClient({});
      client.startBatch();
      await client.create({
        collection: 'contacts',
        data: { firstname: 'Ann', lastname: name('Referred') },
        contentId: '1',
      });
      await client.create({
        collection: 'accounts',
        data: { name: name('Referring'), 'primarycontactid@odata.bind': '$1' },
        contentId: '2',
      });
      await client.updateSingleProperty({ contentId: '$1', fieldValuePair: { jobtitle: 'Owner' } });
      await client.associateSingleValued({
        contentId: '$1',
        navigationProperty: 'parentcustomerid_account',
        relatedKey: '$2',
      });
      const [contact, account] = await client.executeBatch();
      world.keep('accounts', account);
      world.keep('contacts', contact);
      const found = await world.client.retrieve({
        collection: 'contacts',
        key: contact,
        select: ['jobtitle', '_parentcustomerid_value'],
        expand: [{ property: 'account_primary_contact', select: ['name'] }],
      });
      expect(found).toMatchObject({
        jobtitle: 'Owner',
        _parentcustomerid_value: account,
        account_primary_contact: [{ accountid: account }],
      });
    });

    test('undoes a change set with a failure, and stops there', async () => {
      const client = world.newClient({});
      const first = randomUUID();
      client.startBatch();
      await client.upsert({
        collection: 'accounts',
        key: world.keep('accounts', first),
        data: { name: name('Stop 0') },
        inChangeSet: false,
      });
      await client.create({ collection: 'accounts', data: { name: name('Stop 1') } });
      await client.create({ collection: 'accounts', data: { name: 'x'.repeat(161) } });
      await client.create({ collection: 'accounts', data: { name: name('Stop 2') }, inChangeSet: false });
      const answers: unknown[] = await client.executeBatch().catch((error: unknown[]) => error);
      expect(answers).toMatchObject([first, { status: 400, error: { code: '0x80044331' } }]);
      expect(await count('Stop')).toBe(1);
    });

    test('goes on behind a failure when it is told to', async () => {
      const client = world.newClient({});
      const key = world.keep('accounts', randomUUID());
      client.startBatch();
      await client.retrieve({ collection: 'accounts', key, select: ['name'] });
      await client.upsert({ collection: 'accounts', key, data: { name: name('Go on') }, inChangeSet: false });
      await client.retrieve({ collection: 'accounts', key, select: ['name'] });
      const [missing, created, found] = await client.executeBatch({ continueOnError: true });
      expect(missing).toMatchObject({ status: 404, error: { code: '0x80040217' } });
      expect(created).toBe(key);
      expect(found).toMatchObject({ name: name('Go on') });
    });
  });
}
