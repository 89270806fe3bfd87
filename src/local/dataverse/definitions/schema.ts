import * as z from 'zod';

// What the emulator reads of definitions in the Web API's form; the rest stays as it is in the files.

const label = z.looseObject({
  UserLocalizedLabel: z.looseObject({ Label: z.string() }).nullish(),
});

const option = z.looseObject({
  Value: z.number(),
  Label: label.nullish(),
  State: z.number().nullish(),
  DefaultStatus: z.number().nullish(),
});

/** One column. */
export const attributeSchema = z.looseObject({
  LogicalName: z.string(),
  AttributeType: z.string(),
  AttributeTypeName: z.looseObject({ Value: z.string() }).nullish(),
  AttributeOf: z.string().nullish(),
  DisplayName: label.nullish(),
  IsValidForCreate: z.boolean().nullish(),
  IsValidForUpdate: z.boolean().nullish(),
  IsValidForRead: z.boolean().nullish(),
  IsValidODataAttribute: z.boolean().nullish(),
  RequiredLevel: z.looseObject({ Value: z.string() }).nullish(),
  MaxLength: z.number().nullish(),
  MinValue: z.union([z.number(), z.string()]).nullish(),
  MaxValue: z.union([z.number(), z.string()]).nullish(),
  Precision: z.number().nullish(),
  CalculationOf: z.string().nullish(),
  DefaultFormValue: z.number().nullish(),
  DefaultValue: z.boolean().nullish(),
  DateTimeBehavior: z.looseObject({ Value: z.string() }).nullish(),
  Targets: z.array(z.string()).nullish(),
  OptionSet: z
    .looseObject({
      Options: z.array(option).nullish(),
      TrueOption: option.nullish(),
      FalseOption: option.nullish(),
    })
    .nullish(),
});

const relationship = z.looseObject({
  ReferencedEntity: z.string(),
  ReferencingAttribute: z.string(),
  ReferencingEntityNavigationPropertyName: z.string().nullish(),
  CascadeConfiguration: z.looseObject({ Delete: z.string().nullish() }).nullish(),
});

/** One table with its columns and relationships. */
export const definitionSchema = z.looseObject({
  LogicalName: z.string(),
  SchemaName: z.string(),
  EntitySetName: z.string(),
  MetadataId: z.string(),
  PrimaryIdAttribute: z.string(),
  PrimaryNameAttribute: z.string().nullish(),
  ObjectTypeCode: z.number().nullish(),
  OwnershipType: z.string().nullish(),
  DisplayName: label.nullish(),
  IsActivity: z.boolean().nullish(),
  TableType: z.string().nullish(),
  IsOptimisticConcurrencyEnabled: z.boolean().nullish(),
  Attributes: z.array(attributeSchema),
  ManyToOneRelationships: z.array(relationship),
  OneToManyRelationships: z.array(
    z.looseObject({
      ReferencingEntity: z.string(),
      ReferencingAttribute: z.string(),
      ReferencedEntityNavigationPropertyName: z.string().nullish(),
    }),
  ),
  ManyToManyRelationships: z.array(
    z.looseObject({
      IntersectEntityName: z.string().nullish(),
      Entity1LogicalName: z.string().nullish(),
      Entity1IntersectAttribute: z.string().nullish(),
      Entity1NavigationPropertyName: z.string().nullish(),
      Entity2LogicalName: z.string().nullish(),
      Entity2IntersectAttribute: z.string().nullish(),
      Entity2NavigationPropertyName: z.string().nullish(),
    }),
  ),
});

export type AttributeJson = z.infer<typeof attributeSchema>;
export type DefinitionJson = z.infer<typeof definitionSchema>;
