import * as z from 'zod';
import type { DataverseClient } from '../dataverse/client.ts';
import { DataverseError } from '../dataverse/errors.ts';
import type { Table } from '../dataverse/table.ts';
import { tablePrivilegesPath, userPrivilegesPath } from '../dataverse/wire/principal.ts';
import { type Needs, RIGHTS, type Right } from './needs.ts';
import {
  type ProbedTable,
  type ProbeMode,
  type ProbeOptions,
  probeRead,
  probeTable,
  type Shown,
  type TableProbe,
} from './probe.ts';
import { type Finding, StageError } from './stages.ts';

export const DEPTHS = ['Basic', 'Local', 'Deep', 'Global'] as const;
export type Depth = (typeof DEPTHS)[number];

export interface RightReport {
  readonly needed: boolean;
  /** How far the roles give it, as the privilege functions tell; `unknown` where they could not be asked. */
  readonly granted: Depth | 'none' | 'unknown';
  /** What a real request showed, where one was made. */
  readonly shown?: Shown;
  /** `unused`: held, but neither an activation nor reading an allowed table needs it. */
  readonly verdict: 'ok' | 'missing' | 'unused' | 'absent' | 'unknown';
}

export interface TableReport {
  readonly table: string;
  readonly rights: Readonly<Record<Right, RightReport>>;
  /** Why writes were not tried. */
  readonly notTried?: string;
}

export interface PrivilegeReport {
  readonly tables: readonly TableReport[];
  /** Tables that the connection must not touch, and what a read of them showed. */
  readonly outside: readonly { readonly table: string; readonly read: Shown }[];
  /** Privileges on rows of tables that the connection has no business with. */
  readonly beyondNeed: readonly string[];
}

/** Tables that hold business data in most environments; those outside `allowedTables` must refuse to be read. */
const COMMON_TABLES = [
  'account',
  'contact',
  'lead',
  'opportunity',
  'incident',
  'invoice',
  'salesorder',
  'quote',
  'email',
];
const TRIED_OUTSIDE = 3;

/**
 * What every new role holds already (Dataverse documentation, "Create or edit a security role"), and reading what a
 * connection or this test reads about itself.
 */
const HARMLESS =
  /^prv(?:(?:Read|Write|Create)SharePoint\w+|Read(?:SdkMessage\w*|Plugin\w+|User|Team|BusinessUnit|Role|Organization|TransactionCurrency|Currency|Entity|Attribute|Relationship|OptionSet|EntityKey|Customization))$/i;
const ROW_PRIVILEGE = /^prv(?:Create|Read|Write|Delete|Append|AppendTo|Assign|Share)/i;

const grantsAnswer = z.object({
  // The depth RecordFilter, which is none of the four, gives certain rows only.
  RolePrivileges: z.array(z.object({ PrivilegeName: z.string(), Depth: z.enum(DEPTHS).catch('Basic') })),
});
const tableAnswer = z.object({
  EntitySetName: z.string(),
  // Standard is what a table is made as where nothing else is said ("Create elastic tables using code").
  TableType: z.string().nullish(),
  Privileges: z.array(z.object({ Name: z.string(), PrivilegeType: z.string() })),
});

/** Privileges by name in lower case, at their widest depth; undefined where the function is not there for the user. */
type Grants = ReadonlyMap<string, { readonly name: string; readonly depth: Depth }> | undefined;

export interface PrivilegeOptions extends ProbeOptions {
  readonly userId: string;
  readonly needs: Needs;
  /** Definitions of the tables of `needs` that are written or read by the connection itself. */
  readonly tables: ReadonlyMap<string, Table>;
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly mode: ProbeMode;
}

/** Compares what is needed with what is granted and with what real requests show. Throws DataverseError. */
export async function readPrivileges(options: PrivilegeOptions): Promise<PrivilegeReport> {
  const { client, signal, needs, tables, allowedTables } = options;
  const grants = await readGrants(client, options.userId, signal);
  const expected = new Set<string>();
  const reports = await Promise.all(
    [...needs].map(async ([name, rights]) => {
      const definition = await readTable(client, name, signal);
      for (const privilege of definition.names.values()) expected.add(privilege.toLowerCase());
      const table = tables.get(name);
      const probe = table && (await probeTable(options, probed(table, definition), options.mode));
      return reportOf(name, rights, definition.names, grants, probe);
    }),
  );
  return {
    tables: reports,
    outside: allowedTables ? await tryOutside(options, allowedTables) : [],
    beyondNeed: [...(grants?.values() ?? [])]
      .map(({ name }) => name)
      .filter((name) => ROW_PRIVILEGE.test(name) && !HARMLESS.test(name) && !expected.has(name.toLowerCase()))
      .sort(),
  };
}

async function readGrants(client: DataverseClient, userId: string, signal: AbortSignal): Promise<Grants> {
  try {
    const answer = await client.send({ method: 'GET', path: userPrivilegesPath(userId), signal });
    const widest = new Map<string, { name: string; depth: Depth }>();
    for (const { PrivilegeName: name, Depth: depth } of grantsAnswer.parse(answer.json()).RolePrivileges) {
      const known = widest.get(name.toLowerCase());
      if (!known || DEPTHS.indexOf(depth) > DEPTHS.indexOf(known.depth))
        widest.set(name.toLowerCase(), { name, depth });
    }
    return widest;
  } catch (error) {
    if (error instanceof DataverseError && ['forbidden', 'refused', 'notFound'].includes(error.code)) return undefined;
    throw error;
  }
}

interface TableDefinition {
  readonly entitySetName: string;
  readonly type: string;
  readonly names: ReadonlyMap<Right, string>;
}

const probed = (
  { logicalName, primaryId, primaryName, entitySetName }: Table,
  { type, names: privileges }: TableDefinition,
): ProbedTable => ({ logicalName, primaryId, primaryName, entitySetName, type, privileges });

async function readTable(client: DataverseClient, name: string, signal: AbortSignal): Promise<TableDefinition> {
  const answer = await client.send({ method: 'GET', path: tablePrivilegesPath(name), signal });
  const { EntitySetName: entitySetName, TableType: type, Privileges: privileges } = tableAnswer.parse(answer.json());
  const names = new Map<Right, string>();
  for (const { Name, PrivilegeType } of privileges) {
    const right = RIGHTS.find((each) => each.toLowerCase() === PrivilegeType.toLowerCase());
    if (right) names.set(right, Name);
  }
  return { entitySetName, type: type ?? 'Standard', names };
}

function reportOf(
  table: string,
  needed: ReadonlySet<Right>,
  names: ReadonlyMap<Right, string>,
  grants: Grants,
  probe: TableProbe | undefined,
): TableReport {
  const report = (right: Right): RightReport => {
    const name = names.get(right);
    const granted = grants === undefined ? 'unknown' : (grants.get(name?.toLowerCase() ?? '')?.depth ?? 'none');
    const shown = right === 'append' || right === 'appendTo' ? undefined : probe?.[right];
    return {
      needed: needed.has(right),
      granted,
      ...(shown && { shown }),
      verdict: verdictOf(needed.has(right), granted, shown),
    };
  };
  return {
    table,
    rights: {
      create: report('create'),
      read: report('read'),
      write: report('write'),
      delete: report('delete'),
      append: report('append'),
      appendTo: report('appendTo'),
    },
    ...(probe?.notTried !== undefined && { notTried: probe.notTried }),
  };
}

/** What a request showed outweighs what the functions tell: those of a System Administrator or a team fall short. */
function verdictOf(needed: boolean, granted: RightReport['granted'], shown: Shown | undefined): RightReport['verdict'] {
  const held =
    shown === 'allowed' ? true : shown === 'refused' ? false : granted === 'unknown' ? undefined : granted !== 'none';
  if (held === undefined) return 'unknown';
  if (needed) return held ? 'ok' : 'missing';
  return held ? 'unused' : 'absent';
}

async function tryOutside(
  options: PrivilegeOptions,
  allowed: ReadonlySet<string>,
): Promise<{ table: string; read: Shown }[]> {
  const tried: { table: string; read: Shown }[] = [];
  for (const table of COMMON_TABLES) {
    if (tried.length === TRIED_OUTSIDE) break;
    if (allowed.has(table) || options.needs.has(table)) continue;
    try {
      const { entitySetName } = await readTable(options.client, table, options.signal);
      const { shown } = await probeRead(options, {
        entitySetName,
        primaryId: `${table === 'email' ? 'activity' : table}id`,
      });
      tried.push({ table, read: shown });
    } catch (error) {
      // Not every environment has the table, nor may every user read its definition.
      if (!(error instanceof DataverseError) || !['notFound', 'forbidden', 'refused'].includes(error.code)) throw error;
    }
  }
  return tried;
}

const LISTED = 12;

/** Throws StageError `privilegeMissing` where something that is needed is not granted. */
export function judgePrivileges(report: PrivilegeReport): Finding {
  const missing = report.tables.flatMap(({ table, rights }) => {
    const names = RIGHTS.filter((right) => rights[right].verdict === 'missing');
    return names.length === 0 ? [] : [`${names.join(', ')} on ${table}`];
  });
  const warnings = warningsOf(report);
  const facts = { ...report };
  if (missing.length > 0) {
    throw new StageError('privilegeMissing', `The application user lacks ${missing.join('; ')}.`, {
      hint: 'Add the privileges to the connection’s security role (npm run setup-user, or Power Platform admin centre, Environments, Settings, Security roles); roles take up to half a minute to act.',
      facts,
      warnings,
    });
  }
  const names = report.tables.map(({ table }) => table);
  const shown = report.tables.flatMap(({ rights }) => RIGHTS.map((right) => rights[right].shown));
  const how = shown.some((each, at) => each !== undefined && RIGHTS[at % RIGHTS.length] !== 'read')
    ? 'real reads, and writes that were undone'
    : 'real reads and the privileges of its roles';
  const refused = report.outside.filter(({ read }) => read === 'refused').map(({ table }) => table);
  return {
    detail: [
      names.length > 0
        ? `The application user can do what is needed on ${names.join(', ')}, shown by ${how}.`
        : 'No allowedTables and no activation name a table that could be checked.',
      ...(refused.length > 0 ? [`Reading ${refused.join(', ')} is refused, as it must be.`] : []),
    ].join(' '),
    ...(warnings.length > 0 && { warnings }),
    facts,
  };
}

function warningsOf({ tables, outside, beyondNeed }: PrivilegeReport): string[] {
  const readable = outside.filter(({ read }) => read === 'allowed').map(({ table }) => table);
  const unknown = tables.filter(({ rights }) =>
    RIGHTS.some((right) => rights[right].needed && rights[right].verdict === 'unknown'),
  );
  const rest = beyondNeed.length > LISTED ? ` and ${beyondNeed.length - LISTED} more` : '';
  return [
    ...(readable.length > 0
      ? [`Reading ${readable.join(', ')} is not refused, though allowedTables leaves it out: take it from the role.`]
      : []),
    ...(beyondNeed.length > 0 && tables.length > 0
      ? [`The roles give more than is needed: ${beyondNeed.slice(0, LISTED).join(', ')}${rest}.`]
      : []),
    ...(unknown.length > 0
      ? [`What the user may do on ${unknown.map(({ table }) => table).join(', ')} could not be found out in full.`]
      : []),
  ];
}
