import * as z from 'zod';
import { type Catalog, readMetadataFile, type Table, type TableName } from './metadata.ts';
import { derivedGuid } from './store.ts';

/** How far a privilege reaches: own rows, the business unit's, those below it, all. */
export type Depth = 'Basic' | 'Local' | 'Deep' | 'Global';

export type Right = 'Create' | 'Read' | 'Write' | 'Delete' | 'Append' | 'AppendTo' | 'Assign' | 'Share';

export const DEPTHS: readonly Depth[] = ['Basic', 'Local', 'Deep', 'Global'];

/** `privilegedepthmask` of a depth. */
export const DEPTH_MASKS: Readonly<Record<Depth, number>> = { Basic: 1, Local: 2, Deep: 4, Global: 8 };

/** The depth with this mask; undefined for any other number. */
export const depthOfMask = (mask: unknown): Depth | undefined => DEPTHS.find((depth) => DEPTH_MASKS[depth] === mask);

export interface Privilege {
  /** `prvCreateAccount` */
  readonly name: string;
  readonly id: string;
  /** Undefined for privileges that are no right on rows, such as `prvCreateEntityKey`. */
  readonly right: Right | undefined;
  /** Those that a role can hold it at. */
  readonly depths: readonly Depth[];
}

/** The privileges that exist in the organization. */
export interface PrivilegeCatalog {
  all(): readonly Privilege[];
  /** The privilege for a right on a table; undefined where there is none, such as for appending plug-in steps. */
  of(table: Table, right: Right): Privilege | undefined;
  /** Those that the table's definition lists. */
  ofTable(table: Table): readonly Privilege[];
  /** Without regard to case. */
  byName(name: string): Privilege | undefined;
  byId(id: string): Privilege | undefined;
  /** The same, made when no list names it. */
  named(name: string): Privilege;
  standardRole(name: string): StandardRole | undefined;
  /** Makes those of a new table and answers them. */
  define(table: TableName): readonly Privilege[];
}

/** A role that the service brings along: its template (zeros when it is made from none) and depths by privilege name. */
export interface StandardRole {
  readonly templateId: string;
  readonly privileges: Readonly<Record<string, Depth>>;
}

/** What every new role of the service holds already. */
export const NEW_ROLE_PRIVILEGES: readonly string[] = [
  'prvReadSharePointData',
  'prvWriteSharePointData',
  'prvCreateSharePointData',
  'prvReadSharePointDocument',
  'prvReadSdkMessage',
  'prvReadSdkMessageProcessingStep',
  'prvReadSdkMessageProcessingStepImage',
  'prvReadPluginAssembly',
  'prvReadPluginType',
];

/** Rights to define tables and to register steps, which System Customizer has besides System Administrator. */
export const CUSTOMIZER_PRIVILEGES: readonly string[] = [
  ...['Create', 'Read', 'Write', 'Delete'].flatMap((right) => [`prv${right}Entity`, `prv${right}Attribute`]),
  ...['Create', 'Read', 'Write', 'Delete'].flatMap((right) => [`prv${right}Relationship`, `prv${right}OptionSet`]),
  ...['Create', 'Read', 'Delete'].map((right) => `prv${right}EntityKey`),
  'prvPublishCustomization',
  ...['Create', 'Read', 'Write', 'Delete'].flatMap((right) => [
    `prv${right}SdkMessageProcessingStep`,
    `prv${right}SdkMessageProcessingStepImage`,
    `prv${right}ServiceEndpoint`,
  ]),
  'prvAppendToSdkMessageProcessingStep',
  'prvAppendToServiceEndpoint',
  'prvReadSdkMessage',
  'prvAppendToSdkMessage',
];

/** Others that requests here ask for. */
const MISCELLANEOUS = ['prvAssignRole', 'prvActOnBehalfOfAnotherUser'];

const RIGHTS: readonly Right[] = ['Create', 'Read', 'Write', 'Delete', 'Append', 'AppendTo', 'Assign', 'Share'];

/** Tables without privileges of their own; UNCONFIRMED for those of roles and teams. */
const SHARED_PRIVILEGES: Readonly<Record<string, string>> = {
  sdkmessagefilter: 'SdkMessage',
  privilege: 'Role',
  roleprivileges: 'Role',
  systemuserroles: 'Role',
  teamroles: 'Role',
  teammembership: 'Team',
  activityparty: 'Activity',
};

/** Definitions of these privileges are older than the pages that list them. */
const OLD_SUFFIXES: Readonly<Record<string, string>> = { systemuser: 'User' };

const DEPTH_LETTERS: Readonly<Record<string, Depth>> = { B: 'Basic', L: 'Local', D: 'Deep', G: 'Global' };

const privilegesFile = z.looseObject({
  Privileges: z.record(
    z.string(),
    z.array(
      z.looseObject({
        Name: z.string(),
        PrivilegeId: z.string(),
        PrivilegeType: z.string(),
        Depths: z.string().optional(),
        Source: z.string().optional(),
      }),
    ),
  ),
  Roles: z.record(
    z.string(),
    z.looseObject({
      RoleTemplateId: z.string(),
      Tables: z.record(z.string(), z.record(z.string(), z.enum(['Basic', 'Local', 'Deep', 'Global']))),
    }),
  ),
});

/** Opens the list of privileges; those of tables that it does not name get the names that new tables get. */
export function openPrivileges(catalog: Catalog): PrivilegeCatalog {
  const file = privilegesFile.parse(readMetadataFile('privileges.json'));
  const byName = new Map<string, Privilege>();
  const byId = new Map<string, Privilege>();
  const byTable = new Map<string, Map<Right, Privilege>>();

  const add = (privilege: Privilege): Privilege => {
    const known = byName.get(privilege.name.toLowerCase());
    if (known) return known;
    byName.set(privilege.name.toLowerCase(), privilege);
    byId.set(privilege.id, privilege);
    return privilege;
  };
  const derive = (name: string, right: Right | undefined, depths: readonly Depth[]): Privilege =>
    add({ name, id: derivedGuid(`privilege/${name}`), right, depths });

  const define = ({ logicalName, schemaName }: TableName): readonly Privilege[] => {
    const entries = file.Privileges[logicalName] ?? [];
    // Exported definitions list every privilege that there is, documentation pages do not.
    const complete = entries.length > 0 && entries.every((one) => one.Source === 'export');
    const listed = entries.map((one) =>
      add({
        name: one.Name,
        id: one.PrivilegeId,
        right: RIGHTS.find((right) => right === one.PrivilegeType),
        depths: [...(one.Depths ?? 'BLDG')].flatMap((letter) => DEPTH_LETTERS[letter] ?? []),
      }),
    );
    const suffix = SHARED_PRIVILEGES[logicalName] ?? OLD_SUFFIXES[logicalName] ?? schemaName;
    const depths = listed[0]?.depths ?? DEPTHS;
    const all = RIGHTS.flatMap((right): [Right, Privilege][] => {
      const found = listed.find((one) => one.right === right);
      if (found) return [[right, found]];
      return complete ? [] : [[right, derive(`prv${right}${suffix}`, right, depths)]];
    });
    byTable.set(logicalName, new Map(all));
    return all.map(([, privilege]) => privilege);
  };
  // Those whose privileges belong to another table come behind it, whose list has their real ids.
  const isShared = ({ logicalName }: TableName) => Number(logicalName in SHARED_PRIVILEGES);
  for (const name of [...catalog.names].sort((one, other) => isShared(one) - isShared(other))) define(name);
  for (const name of [...NEW_ROLE_PRIVILEGES, ...CUSTOMIZER_PRIVILEGES, ...MISCELLANEOUS])
    derive(name, undefined, ['Global']);

  // Pairs of many-to-many relationships are guarded by the rights on the rows that they link.
  const isGuarded = ({ logicalName, raw }: Table) => raw['IsIntersect'] !== true || logicalName in SHARED_PRIVILEGES;
  const of = (table: Table, right: Right): Privilege | undefined =>
    isGuarded(table) ? byTable.get(table.logicalName)?.get(right) : undefined;
  return {
    all: () => [...byName.values()],
    of,
    ofTable(table) {
      if (
        table.raw['IsIntersect'] === true ||
        !('OwnershipType' in table.raw) ||
        table.raw['OwnershipType'] === 'None'
      ) {
        return [];
      }
      const rights = table.userOwned ? RIGHTS : RIGHTS.filter((right) => right !== 'Assign' && right !== 'Share');
      return rights.flatMap((right) => of(table, right) ?? []);
    },
    byName: (name) => byName.get(name.toLowerCase()),
    byId: (id) => byId.get(id.toLowerCase()),
    define,
    named: (name) => byName.get(name.toLowerCase()) ?? derive(name, undefined, DEPTHS),
    standardRole(name) {
      const role = file.Roles[name];
      if (!role) return undefined;
      const privileges: Record<string, Depth> = {};
      for (const [table, rights] of Object.entries(role.Tables)) {
        for (const [right, depth] of Object.entries(rights)) {
          const found = RIGHTS.find((one) => one === right);
          const privilege = found && byTable.get(table)?.get(found);
          if (privilege) privileges[privilege.name] = depth;
        }
      }
      return { templateId: role.RoleTemplateId, privileges };
    },
  };
}

/** `accessright` of a privilege's row, and its definition's `PrivilegeType`. */
export const ACCESS_RIGHTS: Readonly<Record<Right, number>> = {
  Read: 1,
  Write: 2,
  Append: 4,
  AppendTo: 16,
  Create: 32,
  Delete: 65_536,
  Share: 262_144,
  Assign: 524_288,
};

/** The privileges in a table's definition, in the Web API's form. */
export const privilegeDefinitions = (privileges: readonly Privilege[]): Record<string, unknown>[] =>
  privileges.map(({ name, id, right, depths }) => ({
    CanBeBasic: depths.includes('Basic'),
    CanBeDeep: depths.includes('Deep'),
    CanBeEntityReference: false,
    CanBeGlobal: depths.includes('Global'),
    CanBeLocal: depths.includes('Local'),
    CanBeParentEntityReference: false,
    CanBeRecordFilter: false,
    Name: name,
    PrivilegeId: id,
    PrivilegeType: right ?? 'None',
  }));
