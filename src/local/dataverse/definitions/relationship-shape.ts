import { isJsonObject } from '../json-object.ts';
import type { Definition, Table } from '../metadata.ts';
import type { Work } from '../work.ts';
import { managed } from './customize.ts';

export const NO_CASCADE: Definition = {
  Archive: 'NoCascade',
  Assign: 'NoCascade',
  Delete: 'NoCascade',
  Merge: 'NoCascade',
  Reparent: 'NoCascade',
  Share: 'NoCascade',
  Unshare: 'NoCascade',
  RollupView: 'NoCascade',
};

/** A one-to-many relationship. */
export interface RelationshipFacts {
  readonly schemaName: string;
  readonly referenced: string;
  readonly referencedAttribute: string;
  readonly referencing: string;
  readonly referencingAttribute: string;
  /** The navigation property of the referencing side. */
  readonly navigation: string;
  /** That of the referenced side; the schema name where none is given (documented). */
  readonly collection?: string;
  readonly isCustom: boolean;
  readonly isHierarchical?: boolean;
  readonly cascade: Definition;
  readonly menu?: unknown;
}

const MENU = { Behavior: 'UseCollectionName', Group: 'Details', Order: 10_000, Label: null };

/** The definition of a one-to-many relationship. */
export const relationshipDefinition = (work: Work, facts: RelationshipFacts): Definition => ({
  '@odata.type': '#Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata',
  ...shared(work, facts.schemaName, facts.isCustom),
  RelationshipType: 'OneToManyRelationship',
  ReferencedAttribute: facts.referencedAttribute,
  ReferencedEntity: facts.referenced,
  ReferencedEntityNavigationPropertyName: facts.collection ?? facts.schemaName,
  ReferencingAttribute: facts.referencingAttribute,
  ReferencingEntity: facts.referencing,
  ReferencingEntityNavigationPropertyName: facts.navigation,
  RelationshipBehavior: 1,
  IsHierarchical: facts.isHierarchical ?? false,
  CascadeConfiguration: facts.cascade,
  AssociatedMenuConfiguration: facts.menu ?? MENU,
});

/** What relationships of both kinds have. */
export const shared = (work: Work, schemaName: string, isCustom: boolean): Definition => ({
  SchemaName: schemaName,
  MetadataId: work.env.newId(),
  HasChanged: null,
  IntroducedVersion: '1.0.0.0',
  IsCustomRelationship: isCustom,
  IsCustomizable: managed('iscustomizable', true),
  IsManaged: false,
  IsValidForAdvancedFind: true,
  SecurityTypes: 'None',
});

export type RelationshipList = 'ManyToOneRelationships' | 'OneToManyRelationships' | 'ManyToManyRelationships';

/** A table's relationships in the Web API's form. */
export const relationshipsOf = (table: Table, list: RelationshipList): Definition[] => {
  const all = table.raw[list];
  return Array.isArray(all) ? all.filter(isJsonObject) : [];
};
