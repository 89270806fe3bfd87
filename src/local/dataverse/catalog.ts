import * as z from 'zod';
import { type Customization, type Customizations, openCustomizations } from './definitions/customizations.ts';
import { isJsonObject } from './json-object.ts';
import { type Catalog, type Definition, parseTable, readMetadataFile, type Table, type TableName } from './metadata.ts';
import type { Store } from './store.ts';

const index = z.array(
  z.object({
    LogicalName: z.string(),
    EntitySetName: z.string(),
    SchemaName: z.string(),
    MetadataId: z.string(),
    PrimaryIdAttribute: z.string(),
  }),
);

type IndexEntry = z.infer<typeof index>[number];

const LISTS = ['Attributes', 'ManyToOneRelationships', 'OneToManyRelationships', 'ManyToManyRelationships'] as const;

/**
 * Opens the tables of the metadata folder, each read when it is first asked for, with what was made, changed and deleted
 * in the database laid over them. Without a database nothing can be defined.
 */
export function openCatalog(store?: Store): Catalog {
  const shipped = new Map(index.parse(readMetadataFile('index.json')).map((entry) => [entry.LogicalName, entry]));
  const custom = store ? openCustomizations(store) : nothing;
  const loaded = new Map<string, Table>();
  let listed: Listed | undefined;

  const list = (): Listed => {
    listed ??= listTables(shipped, custom);
    return listed;
  };
  const table = (logicalName: string | undefined): Table | undefined => {
    if (logicalName === undefined || !list().byName.has(logicalName)) return undefined;
    let found = loaded.get(logicalName);
    if (!found) {
      found = isUntouched(custom, logicalName)
        ? untouched(logicalName)
        : parseTable(compose(custom, logicalName, shipped.has(logicalName)));
      loaded.set(logicalName, found);
    }
    return found;
  };
  const forget = (): void => {
    listed = undefined;
  };
  /** Of a relationship both tables have to be read again. */
  const reloadSides = (relationship: Definition | undefined): void => {
    for (const side of sidesOf(relationship)) loaded.delete(side);
  };
  const choices = (): ReadonlyMap<string, Definition> => {
    const all = new Map(untouchedChoices(shipped.keys()));
    for (const { name, definition } of custom.all('choice')) {
      if (definition) all.set(name, definition);
      else all.delete(name);
    }
    return all;
  };

  return {
    get names() {
      return list().names;
    },
    get version() {
      return custom.version();
    },
    table,
    tableOfSet: (entitySetName) => table(list().bySet.get(entitySetName)),
    tableOfId: (metadataId) => table(list().byId.get(metadataId.toLowerCase())),
    choices,
    saveTable(definition) {
      const name = String(definition['LogicalName']);
      custom.save('table', '', name, withoutLists(definition));
      loaded.delete(name);
      forget();
    },
    removeTable(name) {
      for (const one of custom.all('column')) if (one.table === name) custom.forget('column', name, one.name);
      if (shipped.has(name)) custom.save('table', '', name, undefined);
      else custom.forget('table', '', name);
      loaded.delete(name);
      forget();
    },
    saveColumn(tableName, column) {
      custom.save('column', tableName, String(column['LogicalName']), column);
      loaded.delete(tableName);
    },
    removeColumn(tableName, name) {
      const isShipped = shipped.has(tableName) && listOf(untouched(tableName).raw, 'Attributes').some(isNamed(name));
      if (isShipped) custom.save('column', tableName, name, undefined);
      else custom.forget('column', tableName, name);
      loaded.delete(tableName);
    },
    saveRelationship(relationship) {
      custom.save('relationship', '', relationshipName(relationship), relationship);
      reloadSides(relationship);
    },
    removeRelationship(relationship) {
      const sides = sidesOf(relationship).filter((side) => shipped.has(side));
      const isShipped = sides.some((side) => hasRelationship(untouched(side).raw, relationship));
      const name = relationshipName(relationship);
      if (isShipped) custom.save('relationship', '', name, { ...relationship, Deleted: true });
      else custom.forget('relationship', '', name);
      reloadSides(relationship);
    },
    saveChoice(definition) {
      custom.save('choice', '', String(definition['Name']), definition);
      loaded.clear();
    },
    removeChoice(name) {
      if (untouchedChoices(shipped.keys()).has(name)) custom.save('choice', '', name, undefined);
      else custom.forget('choice', '', name);
      loaded.clear();
    },
    changed() {
      if (!custom.changed()) return;
      loaded.clear();
      forget();
    },
  };
}

// What the emulator brings along is the same for all emulators of a process.
const untouchedTables = new Map<string, Table>();

function untouched(logicalName: string): Table {
  let found = untouchedTables.get(logicalName);
  if (!found) {
    const json = readMetadataFile(`entitydefinitions/${logicalName}.json`);
    const definition: Definition = isJsonObject(json) ? json : {};
    const Attributes = listOf(definition, 'Attributes').map((column) => withChoice(nothing, column));
    found = parseTable({ ...definition, Attributes });
    untouchedTables.set(logicalName, found);
  }
  return found;
}

const isUntouched = (custom: Customizations, logicalName: string): boolean =>
  custom.all('choice').length === 0 &&
  !custom.all('table').some(({ name }) => name === logicalName) &&
  !custom.all('column').some(({ table }) => table === logicalName) &&
  !custom.all('relationship').some(({ definition }) => sidesOf(definition).includes(logicalName));

/** Where nothing can be defined. */
const nothing: Customizations = {
  all: () => [],
  save() {
    throw new Error('Without a database nothing can be defined');
  },
  forget() {},
  version: () => '0',
  changed: () => false,
};

interface Listed {
  readonly names: readonly TableName[];
  readonly byName: ReadonlySet<string>;
  readonly bySet: ReadonlyMap<string, string>;
  readonly byId: ReadonlyMap<string, string>;
}

function listTables(shipped: ReadonlyMap<string, IndexEntry>, custom: Customizations): Listed {
  const entries = new Map(shipped);
  for (const { name, definition } of custom.all('table')) {
    if (definition) entries.set(name, index.element.parse(definition));
    else entries.delete(name);
  }
  const names = [...entries.values()].map((entry) => ({
    logicalName: entry.LogicalName,
    entitySetName: entry.EntitySetName,
    schemaName: entry.SchemaName,
    metadataId: entry.MetadataId,
    primaryId: entry.PrimaryIdAttribute,
  }));
  return {
    names,
    byName: new Set(entries.keys()),
    bySet: new Map(names.map((name) => [name.entitySetName, name.logicalName])),
    byId: new Map(names.map((name) => [name.metadataId, name.logicalName])),
  };
}

const listOf = (definition: Definition, name: (typeof LISTS)[number]): Definition[] => {
  const list = definition[name];
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
};

const isNamed = (name: string) => (definition: Definition) => definition['LogicalName'] === name;

const relationshipName = (relationship: Definition | undefined): string =>
  String(relationship?.['SchemaName']).toLowerCase();

const hasRelationship = (definition: Definition, relationship: Definition): boolean =>
  (['ManyToOneRelationships', 'OneToManyRelationships', 'ManyToManyRelationships'] as const).some((name) =>
    listOf(definition, name).some((one) => relationshipName(one) === relationshipName(relationship)),
  );

const SIDES = [
  'ReferencingEntity',
  'ReferencedEntity',
  'Entity1LogicalName',
  'Entity2LogicalName',
  'IntersectEntityName',
];

const sidesOf = (relationship: Definition | undefined): string[] =>
  SIDES.flatMap((side) => {
    const name = relationship?.[side];
    return typeof name === 'string' ? [name] : [];
  });

function withoutLists(definition: Definition): Definition {
  const lists: readonly string[] = LISTS;
  return Object.fromEntries(Object.entries(definition).filter(([name]) => !lists.includes(name)));
}

/** A table's definition: what the emulator brings along, with what the database says about it. */
function compose(custom: Customizations, logicalName: string, isShipped: boolean): Definition {
  const own = custom.all('table').find(({ name }) => name === logicalName)?.definition;
  const brought: Definition = isShipped ? untouched(logicalName).raw : {};
  // A table that was deleted and made anew has nothing of the one before.
  const base = own && own['MetadataId'] !== brought['MetadataId'] ? {} : brought;
  const columns = custom.all('column').filter(({ table }) => table === logicalName);
  const relationships = custom
    .all('relationship')
    .filter(({ definition }) => sidesOf(definition).includes(logicalName));
  const relations = (name: Exclude<(typeof LISTS)[number], 'Attributes'>, isOf: (one: Definition) => boolean) =>
    laidOver(
      listOf(base, name),
      relationships.filter(({ definition }) => definition !== undefined && isOf(definition)),
      relationshipName,
    );
  return {
    ...base,
    ...own,
    Attributes: laidOver(listOf(base, 'Attributes'), columns, (one) => String(one['LogicalName'])).map((column) =>
      withChoice(custom, column),
    ),
    ManyToOneRelationships: relations('ManyToOneRelationships', (one) => one['ReferencingEntity'] === logicalName),
    OneToManyRelationships: relations('OneToManyRelationships', (one) => one['ReferencedEntity'] === logicalName),
    ManyToManyRelationships: relations('ManyToManyRelationships', (one) => 'IntersectEntityName' in one),
  };
}

function laidOver(
  base: readonly Definition[],
  over: readonly Customization[],
  nameOf: (definition: Definition) => string,
): Definition[] {
  if (over.length === 0) return [...base];
  const all = new Map(base.map((one) => [nameOf(one), one]));
  for (const { name, definition } of over) {
    if (definition && definition['Deleted'] !== true) all.set(name, definition);
    else all.delete(name);
  }
  return [...all.values()];
}

/** A column of a global choice shows the choice's options as they are now. */
function withChoice(custom: Customizations, column: Definition): Definition {
  const set = column['OptionSet'];
  if (!isJsonObject(set) || set['IsGlobal'] !== true) return column;
  const changed = custom.all('choice').find(({ name }) => name === set['Name'])?.definition;
  const current = changed ?? set;
  return { ...column, OptionSet: current, GlobalOptionSet: current };
}

let choicesOfUntouched: ReadonlyMap<string, Definition> | undefined;

function untouchedChoices(tables: Iterable<string>): ReadonlyMap<string, Definition> {
  if (choicesOfUntouched) return choicesOfUntouched;
  const found = new Map<string, Definition>();
  for (const table of tables) {
    for (const column of listOf(untouched(table).raw, 'Attributes')) {
      const set = column['OptionSet'];
      if (!isJsonObject(set) || set['IsGlobal'] !== true || typeof set['Name'] !== 'string') continue;
      const type = set['OptionSetType'] === 'Boolean' ? 'BooleanOptionSetMetadata' : 'OptionSetMetadata';
      if (!found.has(set['Name'])) found.set(set['Name'], { '@odata.type': `#Microsoft.Dynamics.CRM.${type}`, ...set });
    }
  }
  choicesOfUntouched = found;
  return found;
}
