import { encode, stringLiteral } from './literals.ts';

/** Addresses about the application user, below the Web API's root. Sources: "Use Web API functions", security role tables. */

const USER_COLUMNS = 'fullname,applicationid,isdisabled,accessmode,_businessunitid_value';

export const userPath = (userId: string): string => `systemusers(${userId})?$select=${USER_COLUMNS}`;

export const rolesPath = (userId: string): string =>
  `systemusers(${userId})/systemuserroles_association?$select=name,roleid,_roletemplateid_value`;

export const businessUnitPath = (id: string): string => `businessunits(${id})?$select=name`;

/** Every privilege that the user's roles give; those of teams are told with the depth Basic. */
export const userPrivilegesPath = (userId: string): string =>
  `systemusers(${userId})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()`;

/** A table's type, and the names of its privileges: those of activities, for one, are not made from the table's own name. */
export const tablePrivilegesPath = (logicalName: string): string =>
  `EntityDefinitions(LogicalName=${encode(stringLiteral(logicalName))})?$select=LogicalName,EntitySetName,TableType,Privileges`;

/** Enabled steps that run inside a write of the table's rows (mode 0 is synchronous). */
export const synchronousStepsPath = (logicalName: string): string =>
  `sdkmessageprocessingsteps?$select=name&$top=3&$filter=${encode(
    `mode eq 0 and statecode eq 0 and sdkmessagefilterid/primaryobjecttypecode eq ${stringLiteral(logicalName)}`,
  )}`;

/** The same request in another version of the Web API; the client's root ends in `/api/data/v9.2/`. */
export const inVersion = (version: string, path: string): string => `../${version}/${path}`;
