import { encode, stringLiteral } from './literals.ts';

/** One request of the administration of users and roles, as the client takes it. */
export interface AdministrationRequest {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: string;
}

export const businessUnitsPath = 'businessunits?$select=businessunitid,name,_parentbusinessunitid_value';

export const rolesNamedPath = (name: string): string =>
  'roles?$select=roleid,name,_businessunitid_value,_parentrootroleid_value,_roletemplateid_value' +
  `&$filter=name%20eq%20${encode(stringLiteral(name))}`;

export const rolePrivilegesPath = (roleId: string): string => `RetrieveRolePrivilegesRole(RoleId=${roleId})`;

/** Depths that each privilege of a table can have. */
export const tablePrivilegeDepthsPath = (logicalName: string): string =>
  `EntityDefinitions(LogicalName=${encode(stringLiteral(logicalName))})?$select=LogicalName,Privileges`;

export const privilegesNamedPath = (names: readonly string[]): string =>
  'privileges?$select=privilegeid,name,canbebasic,canbelocal,canbedeep,canbeglobal' +
  `&$filter=${names.map((name) => `name%20eq%20${encode(stringLiteral(name))}`).join('%20or%20')}`;

export const applicationUsersPath = (applicationId: string): string =>
  'systemusers?$select=systemuserid,fullname,isdisabled,_businessunitid_value' +
  `&$filter=applicationid%20eq%20${applicationId}`;

export const rolesOfUserPath = (userId: string): string =>
  `systemusers(${userId})/systemuserroles_association?$select=roleid,name,_roletemplateid_value`;

const unitBinding = (id: string) => ({ 'businessunitid@odata.bind': `/businessunits(${id})` });

const post = (path: string, body: unknown): AdministrationRequest => ({
  method: 'POST',
  path,
  body: JSON.stringify(body),
});

export const createBusinessUnit = (name: string, parentId: string): AdministrationRequest =>
  post('businessunits', { name, 'parentbusinessunitid@odata.bind': `/businessunits(${parentId})` });

export const createRole = (name: string, businessUnitId: string): AdministrationRequest =>
  post('roles', { name, ...unitBinding(businessUnitId) });

/** Gives a role exactly these privileges. */
export const replacePrivileges = (
  roleId: string,
  businessUnitId: string,
  privileges: readonly { readonly id: string; readonly depth: string }[],
): AdministrationRequest =>
  post(`roles(${roleId})/Microsoft.Dynamics.CRM.ReplacePrivilegesRole`, {
    Privileges: privileges.map(({ id, depth }) => ({
      PrivilegeId: id,
      Depth: depth,
      BusinessUnitId: businessUnitId,
    })),
  });

export const createApplicationUser = (
  applicationId: string,
  businessUnitId: string,
  name: { readonly first: string; readonly last: string },
): AdministrationRequest =>
  post('systemusers', {
    applicationid: applicationId,
    firstname: name.first,
    lastname: name.last,
    ...unitBinding(businessUnitId),
  });

const patchUser = (userId: string, body: unknown): AdministrationRequest => ({
  method: 'PATCH',
  path: `systemusers(${userId})`,
  body: JSON.stringify(body),
});

export const enableUser = (userId: string): AdministrationRequest => patchUser(userId, { isdisabled: false });

export const moveUser = (userId: string, businessUnitId: string): AdministrationRequest =>
  patchUser(userId, unitBinding(businessUnitId));

/** The service takes an absolute address of the role here. */
export const assignRole = (userId: string, roleId: string, apiUrl: string): AdministrationRequest =>
  post(`systemusers(${userId})/systemuserroles_association/$ref`, {
    '@odata.id': new URL(`roles(${roleId})`, apiUrl).href,
  });

export const takeRole = (userId: string, roleId: string): AdministrationRequest => ({
  method: 'DELETE',
  path: `systemusers(${userId})/systemuserroles_association(${roleId})/$ref`,
});
