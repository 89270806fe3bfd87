import { isJsonObject } from '../json-object.ts';
import type { Definition, Table } from '../metadata.ts';
import { identifier, typeColumn } from '../store.ts';
import type { Work } from '../work.ts';
import { columnsOf } from './columns.ts';
import { type Change, removeFromSolutions } from './customize.ts';
import { componentInUse, componentIsManaged } from './errors.ts';
import { relationshipsOf } from './relationship-shape.ts';

/** Deletes a custom table with its rows. Throws WireError when something else depends on it. */
export function deleteTable({ work }: Change, table: Table): void {
  const { env } = work;
  const name = table.logicalName;
  if (table.raw['IsCustomEntity'] !== true || table.raw['IsManaged'] === true) {
    throw componentIsManaged('Delete', name, table.metadataId);
  }
  if (table.raw['IsIntersect'] === true) throw componentIsManaged('Delete', name, table.metadataId);
  const inward = relationshipsOf(table, 'OneToManyRelationships').filter((one) => one['ReferencingEntity'] !== name);
  const polymorphic = (one: Definition): boolean =>
    (env.catalog.table(String(one['ReferencingEntity']))?.columns.get(String(one['ReferencingAttribute']))?.targets
      .length ?? 0) > 1;
  const users = inward.filter((one) => !polymorphic(one)).length + stepsOn(work, name);
  if (users > 0) throw componentInUse('Entity', table.metadataId, users);
  for (const one of inward) removeTarget(work, one);
  for (const one of relationshipsOf(table, 'ManyToManyRelationships')) {
    const intersect = String(one['IntersectEntityName']);
    env.store.dropTable(intersect);
    env.catalog.removeTable(intersect);
    env.catalog.removeRelationship(one);
  }
  for (const list of ['ManyToOneRelationships', 'OneToManyRelationships'] as const) {
    for (const one of relationshipsOf(table, list)) {
      env.catalog.removeRelationship(one);
      removeFromSolutions(work, String(one['MetadataId']));
    }
  }
  for (const key of env.keys.of(name)) env.keys.remove(key);
  for (const column of columnsOf(table)) removeFromSolutions(work, String(column['MetadataId']));
  disconnect(work, table);
  env.store.dropTable(name);
  env.catalog.removeTable(name);
  removeFromSolutions(work, table.metadataId);
}

/** A lookup that can point elsewhere too stays, without the table that goes and without links to its rows. */
function removeTarget({ env }: Work, relationship: Definition): void {
  const from = env.catalog.table(String(relationship['ReferencingEntity']));
  const gone = String(relationship['ReferencedEntity']);
  const name = String(relationship['ReferencingAttribute']);
  const column = from && columnsOf(from).find((one) => one['LogicalName'] === name);
  if (!from || !column || !Array.isArray(column['Targets'])) return;
  if (env.store.tables().has(from.logicalName)) {
    const [table, lookup, type] = [from.logicalName, name, typeColumn(name)].map(identifier);
    const cascade = relationship['CascadeConfiguration'];
    const deletes = isJsonObject(cascade) && cascade['Delete'] === 'Cascade';
    const change = deletes ? `DELETE FROM ${table}` : `UPDATE ${table} SET ${lookup} = NULL, ${type} = NULL`;
    env.store.run(`${change} WHERE ${type} = ?`, [gone]);
  }
  const Targets = column['Targets'].filter((target) => target !== gone);
  env.catalog.saveColumn(from.logicalName, { ...column, Targets });
}

const stepsOn = ({ env }: Work, table: string): number =>
  Number(
    env.store.get(
      'SELECT count(*) AS n FROM sdkmessageprocessingstep AS step JOIN sdkmessagefilter AS filter ' +
        'ON filter.sdkmessagefilterid = step.sdkmessagefilterid WHERE filter.primaryobjecttypecode = ?',
      [table],
    )?.['n'] ?? 0,
  );

function disconnect({ env }: Work, table: Table): void {
  for (const { id } of env.privileges.ofTable(table)) {
    env.store.run('DELETE FROM roleprivileges WHERE privilegeid = ?', [id]);
    env.store.run('DELETE FROM privilege WHERE privilegeid = ?', [id]);
  }
  env.store.run('DELETE FROM sdkmessagefilter WHERE primaryobjecttypecode = ?', [table.logicalName]);
  env.steps.changed();
}
