import { describe, expect, test } from 'vitest';
import { refusal, type World } from './world.ts';

/** Rows that are linked with each other, and functions and actions. */
export function describeLinks(world: World): void {
  const name = (text: string) => `${world.mark} ${text}`;

  describe('a link', () => {
    test('of one row to many is made and taken away from both of its ends', async () => {
      const { client } = world;
      const parent = await world.create('accounts', { name: name('Parent') });
      const child = await world.create('accounts', { name: name('Child') });
      const parentOf = async () =>
        (await client.retrieve({ collection: 'accounts', key: child, select: ['_parentaccountid_value'] }))
          ._parentaccountid_value;
      const ofParent = { collection: 'accounts', primaryKey: parent, relationshipName: 'account_parent_account' };
      await client.associate({ ...ofParent, relatedCollection: 'accounts', relatedKey: child });
      expect(await parentOf()).toBe(parent);
      await client.disassociate({ ...ofParent, relatedKey: child });
      expect(await parentOf()).toBeNull();

      const ofChild = { collection: 'accounts', primaryKey: child, navigationProperty: 'parentaccountid' };
      await client.associateSingleValued({ ...ofChild, relatedCollection: 'accounts', relatedKey: parent });
      expect(await parentOf()).toBe(parent);
      await client.disassociateSingleValued(ofChild);
      expect(await parentOf()).toBeNull();
    });

    test('of many rows to many is made and taken away', async () => {
      const { client } = world;
      const team = await world.create('teams', { name: name('Team'), teamtype: 0, ...(await ownBusinessUnit()) });
      const { UserId: user } = await client.callFunction('WhoAmI');
      const link = { collection: 'teams', primaryKey: team, relationshipName: 'teammembership_association' };
      await client.associate({ ...link, relatedCollection: 'systemusers', relatedKey: user });
      const members = async () =>
        (
          await client.retrieve({
            collection: 'teams',
            key: team,
            select: ['name'],
            expand: [{ property: 'teammembership_association', select: ['systemuserid'] }],
          })
        ).teammembership_association;
      expect(await members()).toMatchObject([{ systemuserid: user }]);
      await client.disassociate({ ...link, relatedKey: user });
      expect(await members()).toEqual([]);
    });

    test('is refused to a row that is not there, and by a name that is none', async () => {
      const { client } = world;
      const account = await world.create('accounts', { name: name('Alone') });
      const related = { relatedCollection: 'accounts', relatedKey: '00000000-0000-0000-0000-000000000001' };
      const link = { collection: 'accounts', primaryKey: account, ...related };
      expect(await refusal(client.associate({ ...link, relationshipName: 'account_parent_account' }))).toBe(
        '404 0x80040217',
      );
      expect(await refusal(client.associate({ ...link, relationshipName: 'nonsense' }))).toMatch(/^40[04] /);
    });
  });

  const ownBusinessUnit = async () => {
    const { BusinessUnitId } = await world.client.callFunction('WhoAmI');
    return { 'businessunitid@odata.bind': `/businessunits(${BusinessUnitId})` };
  };

  describe('a function', () => {
    test('is called by its name, with parameters, and of a row', async () => {
      const { client } = world;
      const who = await client.callFunction('WhoAmI');
      expect(who).toMatchObject({ UserId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
      expect(await client.callFunction({ name: 'RetrieveVersion' })).toMatchObject({
        Version: expect.stringMatching(/^9\./),
      });
      const counted = await client.callFunction({
        name: 'RetrieveTotalRecordCount',
        parameters: { EntityNames: ['account', 'contact'] },
      });
      expect(counted.EntityRecordCountCollection.Keys.sort()).toEqual(['account', 'contact']);
      const { RolePrivileges } = await client.callFunction({
        collection: 'systemusers',
        key: who.UserId,
        name: 'Microsoft.Dynamics.CRM.RetrieveUserPrivileges',
      });
      expect(RolePrivileges).toContainEqual(expect.objectContaining({ PrivilegeName: 'prvReadAccount' }));
    });

    test('answers nothing of its own to another method', async () => {
      const { status, json } = await world.call('POST', 'WhoAmI');
      expect([status, json.error.message]).toEqual([
        404,
        `No HTTP resource was found that matches the request URI '${world.apiUrl}WhoAmI'.`,
      ]);
    });
  });

  describe('an action', () => {
    const target = (data: object) => ({ '@odata.type': 'Microsoft.Dynamics.CRM.account', ...data });

    test('of a table writes many rows at once', async () => {
      const { client } = world;
      const bulk = (message: string, Targets: readonly object[]) =>
        client.callAction({
          collection: 'accounts',
          actionName: `Microsoft.Dynamics.CRM.${message}`,
          action: { Targets },
        });
      const { Ids } = await bulk('CreateMultiple', [
        target({ name: name('Bulk 1') }),
        target({ name: name('Bulk 2') }),
      ]);
      expect(Ids).toHaveLength(2);
      for (const id of Ids) world.keep('accounts', id);
      await bulk(
        'UpdateMultiple',
        Ids.map((accountid: string) => target({ accountid, telephone1: '1' })),
      );
      const filter = `startswith(name,'${world.mark} Bulk') and telephone1 eq '1'`;
      expect(await client.count({ collection: 'accounts', filter })).toBe(2);
    });

    test('that is none is refused', async () => {
      expect(await refusal(world.client.callAction({ actionName: 'Nonsense', action: {} }))).toMatch(/^404 /);
    });
  });

  test('acts for a user by the user’s id', async () => {
    const { UserId } = await world.client.callFunction('WhoAmI');
    const asUser = world.newClient({ impersonate: UserId });
    expect(await asUser.callFunction('WhoAmI')).toMatchObject({ UserId });
    expect(await world.client.callFunction({ name: 'WhoAmI', impersonate: UserId })).toMatchObject({ UserId });
  });
}
