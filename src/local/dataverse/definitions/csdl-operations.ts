import { messagesOf } from '../messages.ts';
import type { Table } from '../metadata.ts';
import { DEFINITION_ACTIONS } from './actions.ts';
import { complexType } from './csdl-definitions.ts';
import { element } from './csdl-xml.ts';

type Members = Readonly<Record<string, string>>;

/** A function or action that the emulator answers. */
interface Declared {
  readonly name: string;
  readonly kind: 'Function' | 'Action';
  /** The type of the row or rows that it is bound to. */
  readonly boundTo?: string;
  readonly parameters?: Members;
  /** The members of its answer. */
  readonly answer?: Members;
}

const PRIVILEGES: Members = { RolePrivileges: 'Collection(mscrm.RolePrivilege)' };
const ROLE_CHANGE: Members = { Privileges: 'Collection(mscrm.RolePrivilege)' };

const DECLARED: readonly Declared[] = [
  {
    name: 'WhoAmI',
    kind: 'Function',
    answer: { BusinessUnitId: 'Edm.Guid', UserId: 'Edm.Guid', OrganizationId: 'Edm.Guid' },
  },
  { name: 'RetrieveVersion', kind: 'Function', answer: { Version: 'Edm.String' } },
  {
    name: 'RetrieveCurrentOrganization',
    kind: 'Function',
    parameters: { AccessType: 'Edm.String' },
    answer: { Detail: 'mscrm.OrganizationDetail' },
  },
  {
    name: 'RetrieveTotalRecordCount',
    kind: 'Function',
    parameters: { EntityNames: 'Collection(Edm.String)' },
    answer: { EntityRecordCountCollection: 'mscrm.EntityRecordCountCollection' },
  },
  { name: 'RetrieveRolePrivilegesRole', kind: 'Function', parameters: { RoleId: 'Edm.Guid' }, answer: PRIVILEGES },
  {
    name: 'RetrieveUserPrivilegeByPrivilegeName',
    kind: 'Function',
    boundTo: 'mscrm.systemuser',
    parameters: { PrivilegeName: 'Edm.String' },
    answer: PRIVILEGES,
  },
  {
    name: 'RetrieveUserSetOfPrivilegesByNames',
    kind: 'Function',
    boundTo: 'mscrm.systemuser',
    parameters: { PrivilegeNames: 'Collection(Edm.String)' },
    answer: PRIVILEGES,
  },
  { name: 'RetrieveUserPrivileges', kind: 'Function', boundTo: 'mscrm.systemuser', answer: PRIVILEGES },
  {
    name: 'RetrievePrincipalAccess',
    kind: 'Function',
    boundTo: 'mscrm.systemuser',
    parameters: { Target: 'mscrm.crmbaseentity' },
    answer: { AccessRights: 'Edm.String' },
  },
  { name: 'AddPrivilegesRole', kind: 'Action', boundTo: 'mscrm.role', parameters: ROLE_CHANGE },
  { name: 'ReplacePrivilegesRole', kind: 'Action', boundTo: 'mscrm.role', parameters: ROLE_CHANGE },
  { name: 'RemovePrivilegeRole', kind: 'Action', boundTo: 'mscrm.role', parameters: { PrivilegeId: 'Edm.Guid' } },
];

/** Complex types that only answers use. */
const ANSWER_TYPES: Readonly<Record<string, Members>> = {
  EndpointCollection: {
    Count: 'Edm.Int32',
    IsReadOnly: 'Edm.Boolean',
    Keys: 'Collection(Edm.String)',
    Values: 'Collection(Edm.String)',
  },
  EntityRecordCountCollection: {
    Count: 'Edm.Int32',
    IsReadOnly: 'Edm.Boolean',
    Keys: 'Collection(Edm.String)',
    Values: 'Collection(Edm.Int64)',
  },
  OrganizationDetail: {
    OrganizationId: 'Edm.Guid',
    FriendlyName: 'Edm.String',
    OrganizationVersion: 'Edm.String',
    EnvironmentId: 'Edm.String',
    UrlName: 'Edm.String',
    UniqueName: 'Edm.String',
    State: 'Edm.String',
    Endpoints: 'mscrm.EndpointCollection',
  },
};

/** The bulk messages of tables, each an action bound to the table's rows. */
const bulkMessages = (tables: readonly Table[]): Declared[] =>
  tables
    .filter(({ logicalName }) => messagesOf(logicalName).has('CreateMultiple'))
    .flatMap(({ logicalName }) =>
      // UpsertMultiple is never listed; a table has it when it has the other two (documented).
      [
        ...['CreateMultiple', 'UpdateMultiple', 'UpsertMultiple'],
        ...(messagesOf(logicalName).has('DeleteMultiple') ? ['DeleteMultiple'] : []),
      ].map(
        (name): Declared => ({
          name,
          kind: 'Action',
          boundTo: `Collection(mscrm.${logicalName})`,
          parameters: { Targets: `Collection(mscrm.${logicalName})` },
          ...(name === 'CreateMultiple' ? { answer: { Ids: 'Collection(Edm.Guid)' } } : {}),
        }),
      ),
    );

/** Everything that can be called, as schema elements and as imports of the container. */
export function operations(tables: readonly Table[]): { schemas: string[]; imports: string[] } {
  const actions = [...DEFINITION_ACTIONS].map(
    ([name, { parameters, answer }]): Declared => ({ name, kind: 'Action', parameters, ...(answer ? { answer } : {}) }),
  );
  const all = [...DECLARED, ...actions, ...bulkMessages(tables)];
  const answers = new Map(all.flatMap(({ name, answer }): [string, Members][] => (answer ? [[name, answer]] : [])));
  return {
    schemas: [
      ...Object.entries(ANSWER_TYPES).map(([name, members]) => complexType(name, Object.entries(members))),
      ...[...answers].map(([name, members]) => complexType(`${name}Response`, Object.entries(members))),
      ...all.map(operation),
    ],
    imports: all
      .filter(({ boundTo }) => boundTo === undefined)
      .map(({ name, kind }) => element(`${kind}Import`, { Name: name, [kind]: `mscrm.${name}` })),
  };
}

function operation({ name, kind, boundTo, parameters = {}, answer }: Declared): string {
  const parameter = (parameterName: string, type: string): string =>
    element('Parameter', { Name: parameterName, Type: type });
  return element(kind, { Name: name, IsBound: boundTo === undefined ? undefined : 'true' }, [
    ...(boundTo === undefined ? [] : [parameter('entity', boundTo)]),
    ...Object.entries(parameters).map(([parameterName, type]) => parameter(parameterName, type)),
    ...(answer ? [element('ReturnType', { Type: `mscrm.${name}Response`, Nullable: 'false' })] : []),
  ]);
}
