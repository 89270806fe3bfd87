import type { Column, Definition, Table } from '../metadata.ts';
import type { Work } from '../work.ts';
import { definitionSchemas } from './csdl-definitions.ts';
import { operations } from './csdl-operations.ts';
import { element } from './csdl-xml.ts';
import { labelText } from './customize.ts';
import { relationshipsOf } from './relationship-shape.ts';

// The CSDL document behind `$metadata`, in the form that the service's documentation shows: namespace
// Microsoft.Dynamics.CRM with the alias mscrm, `crmbaseentity` as the base of all tables, users and teams below `principal`.

const EDM_TYPES: Readonly<Partial<Record<Column['kind'], string>>> = {
  bigint: 'Edm.Int64',
  boolean: 'Edm.Boolean',
  choice: 'Edm.Int32',
  dateonly: 'Edm.Date',
  datetime: 'Edm.DateTimeOffset',
  decimal: 'Edm.Decimal',
  double: 'Edm.Double',
  guid: 'Edm.Guid',
  integer: 'Edm.Int32',
  lookup: 'Edm.Guid',
  managed: 'mscrm.BooleanManagedProperty',
  money: 'Edm.Decimal',
  state: 'Edm.Int32',
  status: 'Edm.Int32',
};
const PRINCIPALS: ReadonlySet<string> = new Set(['systemuser', 'team']);

interface Documents {
  version: string;
  readonly byAnnotations: Map<boolean, string>;
}

const cache = new WeakMap<object, Documents>();

/** The document as it is now; made anew only when a definition changed. */
export function metadataDocument(work: Work, annotations: boolean): string {
  const { catalog } = work.env;
  let documents = cache.get(catalog);
  if (!documents || documents.version !== catalog.version) {
    documents = { version: catalog.version, byAnnotations: new Map() };
    cache.set(catalog, documents);
  }
  let text = documents.byAnnotations.get(annotations);
  if (text === undefined) {
    text = writeDocument(work, annotations);
    documents.byAnnotations.set(annotations, text);
  }
  return text;
}

function writeDocument(work: Work, annotations: boolean): string {
  const tables = work.env.catalog.names.flatMap(({ logicalName }) => work.env.catalog.table(logicalName) ?? []);
  const known = new Map(tables.map((table) => [table.logicalName, table]));
  const partners = partnersOf(tables, known);
  const types = tables.map((table) => entityType(table, known, partners, annotations));
  const declared = operations(tables);
  const schema = element(
    'Schema',
    { Namespace: 'Microsoft.Dynamics.CRM', Alias: 'mscrm', xmlns: 'http://docs.oasis-open.org/odata/ns/edm' },
    [
      ...baseTypes(),
      ...types,
      ...definitionSchemas(),
      ...declared.schemas,
      entityContainer(tables, known, declared.imports),
    ],
  );
  return (
    '<?xml version="1.0" encoding="utf-8"?>' +
    element('edmx:Edmx', { Version: '4.0', 'xmlns:edmx': 'http://docs.oasis-open.org/odata/ns/edmx' }, [
      element('edmx:DataServices', {}, [schema]),
    ])
  );
}

const key = (name: string): string => element('Key', {}, [element('PropertyRef', { Name: name })]);

const baseTypes = (): string[] => [
  element('EntityType', { Name: 'crmbaseentity', Abstract: 'true' }),
  element('EntityType', { Name: 'expando', BaseType: 'mscrm.crmbaseentity', OpenType: 'true' }),
  element('EntityType', { Name: 'principal', BaseType: 'mscrm.crmbaseentity' }, [
    key('ownerid'),
    element('Property', { Name: 'ownerid', Type: 'Edm.Guid', Nullable: 'false' }),
  ]),
];

/** Where a navigation property leads: the table, and the relationship that both sides share. */
interface Navigation {
  readonly name: string;
  /** Undefined for owners, which are users or teams. */
  readonly target: string | undefined;
  readonly many: boolean;
  readonly relationship: string;
  readonly column?: Column;
}

/** A table's navigation properties that lead to tables which exist, each name once. */
function navigationsOf(table: Table, known: ReadonlyMap<string, Table>): Navigation[] {
  const found = new Map<string, Navigation>();
  const add = (navigation: Navigation): void => {
    const exists = navigation.target === undefined || known.has(navigation.target);
    if (exists && !found.has(navigation.name) && !table.properties.has(navigation.name)) {
      found.set(navigation.name, navigation);
    }
  };
  const relationships = new Map(
    relationshipsOf(table, 'ManyToOneRelationships').map((one) => [
      one['ReferencingEntityNavigationPropertyName'],
      one,
    ]),
  );
  for (const { name, column, target } of table.navigations.values()) {
    const relationship = String(relationships.get(name)?.['SchemaName'] ?? `${table.logicalName}.${name}`);
    add({ name, target, many: false, relationship, column });
  }
  for (const one of relationshipsOf(table, 'OneToManyRelationships')) {
    const name = one['ReferencedEntityNavigationPropertyName'];
    if (typeof name !== 'string' || name === '') continue;
    add({ name, target: String(one['ReferencingEntity']), many: true, relationship: String(one['SchemaName']) });
  }
  for (const [name, { otherTable }] of table.associations) {
    const pair = relationshipsOf(table, 'ManyToManyRelationships').find((one) =>
      [one['Entity1NavigationPropertyName'], one['Entity2NavigationPropertyName']].includes(name),
    );
    add({ name, target: otherTable, many: true, relationship: String(pair?.['SchemaName']) });
  }
  return [...found.values()];
}

type Partners = ReadonlyMap<
  string,
  { readonly table: string; readonly name: string; readonly target: string | undefined }[]
>;

function partnersOf(tables: readonly Table[], known: ReadonlyMap<string, Table>): Partners {
  const partners = new Map<string, { table: string; name: string; target: string | undefined }[]>();
  for (const table of tables) {
    for (const { name, relationship, target } of navigationsOf(table, known)) {
      const sides = partners.get(relationship) ?? [];
      sides.push({ table: table.logicalName, name, target });
      partners.set(relationship, sides);
    }
  }
  return partners;
}

/** The navigation property at the other end of the same relationship, where that end exists. */
function partnerOf(partners: Partners, table: string, { name, relationship, target }: Navigation): string | undefined {
  return partners
    .get(relationship)
    ?.find((side) => side.table === target && side.target === table && !(side.table === table && side.name === name))
    ?.name;
}

function entityType(table: Table, known: ReadonlyMap<string, Table>, partners: Partners, annotations: boolean): string {
  const isPrincipal = PRINCIPALS.has(table.logicalName);
  const properties = [...table.columns.values()]
    .filter((column) => !(isPrincipal && column.property === 'ownerid'))
    .map((column) => property(column, annotations));
  const navigations = navigationsOf(table, known).map((navigation) => {
    const type = `mscrm.${navigation.target ?? 'principal'}`;
    const target = navigation.target === undefined ? undefined : known.get(navigation.target);
    const constraint =
      navigation.column &&
      element('ReferentialConstraint', {
        Property: navigation.column.property,
        ReferencedProperty: target?.primaryId ?? 'ownerid',
      });
    return element(
      'NavigationProperty',
      {
        Name: navigation.name,
        Type: navigation.many ? `Collection(${type})` : type,
        Nullable: navigation.many ? undefined : 'false',
        Partner: partnerOf(partners, table.logicalName, navigation),
      },
      constraint ? [constraint] : [],
    );
  });
  return element(
    'EntityType',
    { Name: table.logicalName, BaseType: `mscrm.${isPrincipal ? 'principal' : 'crmbaseentity'}` },
    [
      ...(isPrincipal ? [] : [key(table.primaryId)]),
      ...properties,
      ...navigations,
      ...described(table.raw, annotations),
    ],
  );
}

function described(definition: Definition, annotations: boolean): string[] {
  const text = annotations ? (labelText(definition['Description']) ?? labelText(definition['DisplayName'])) : undefined;
  return text === undefined ? [] : [element('Annotation', { Term: 'Org.OData.Core.V1.Description', String: text })];
}

function property(column: Column, annotations: boolean): string {
  const type = EDM_TYPES[column.kind] ?? 'Edm.String';
  const isComputed = annotations && (column.kind === 'lookup' || (!column.validForCreate && !column.validForUpdate));
  return element(
    'Property',
    {
      Name: column.property,
      Type: type,
      Scale: type === 'Edm.Decimal' ? 'Variable' : undefined,
      Unicode: type === 'Edm.String' ? 'false' : undefined,
    },
    [
      ...described(column.raw, annotations),
      ...(isComputed ? [element('Annotation', { Term: 'Org.OData.Core.V1.Computed', Bool: 'true' })] : []),
    ],
  );
}

/** The entity sets with the sets that their navigation properties lead to, and what can be called without a row. */
function entityContainer(
  tables: readonly Table[],
  known: ReadonlyMap<string, Table>,
  imports: readonly string[],
): string {
  const sets = tables.map((table) => {
    const bindings = navigationsOf(table, known).flatMap(({ name, target }) => {
      const set = target === undefined ? undefined : known.get(target)?.entitySetName;
      return set === undefined ? [] : [element('NavigationPropertyBinding', { Path: name, Target: set })];
    });
    return element('EntitySet', { Name: table.entitySetName, EntityType: `mscrm.${table.logicalName}` }, bindings);
  });
  const definitions = [
    ['EntityDefinitions', 'EntityMetadata'],
    ['GlobalOptionSetDefinitions', 'OptionSetMetadataBase'],
    ['RelationshipDefinitions', 'RelationshipMetadataBase'],
  ].map(([set = '', type = '']) => element('EntitySet', { Name: set, EntityType: `mscrm.${type}` }));
  return element('EntityContainer', { Name: 'System' }, [...sets, ...definitions, ...imports]);
}
