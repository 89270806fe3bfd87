import * as z from 'zod';
import { badPayload, definitionNotFound, invalidArgument, noResourceFor } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../json-object.ts';
import { jsonReply, noContent, type Reply } from '../reply.ts';
import { jsonObjectBody, type Operation } from '../request.ts';
import type { Work } from '../work.ts';
import { readDefinition } from './body.ts';
import { deleteOption, insertOption, orderOptions, updateOption } from './choices.ts';
import { beginChange, type Change, changeReply } from './customize.ts';
import { undeclaredProperty } from './errors.ts';
import { createLookup } from './relationships.ts';
import { typeNamed } from './types.ts';

interface DefinitionAction {
  /** Names of the parameters that may be given, each with the type that `$metadata` gives it. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The members of the answer with their types; undefined where there is none. */
  readonly answer?: Readonly<Record<string, string>>;
  privilege(parameters: JsonObject): string;
  run(change: Change, parameters: JsonObject): Readonly<Record<string, unknown>> | undefined;
}

const CHOICE = { OptionSetName: 'Edm.String', AttributeLogicalName: 'Edm.String', EntityLogicalName: 'Edm.String' };
const OPTION = { ...CHOICE, Value: 'Edm.Int32', SolutionUniqueName: 'Edm.String' };
const LABELS = { Label: 'mscrm.Label', Description: 'mscrm.Label' };
const RELATIONSHIPS = {
  Lookup: 'mscrm.ComplexLookupAttributeMetadata',
  OneToManyRelationships: 'Collection(mscrm.ComplexOneToManyRelationshipMetadata)',
  SolutionUniqueName: 'Edm.String',
};

const choicePrivilege = (parameters: JsonObject): string =>
  parameters['OptionSetName'] ? 'prvWriteOptionSet' : 'prvWriteAttribute';

const publish = (): string => 'prvPublishCustomization';

/** The unbound actions that change definitions. */
export const DEFINITION_ACTIONS: ReadonlyMap<string, DefinitionAction> = new Map<string, DefinitionAction>([
  [
    'CreateCustomerRelationships',
    {
      parameters: RELATIONSHIPS,
      answer: { AttributeId: 'Edm.Guid', RelationshipIds: 'Collection(Edm.Guid)' },
      privilege: () => 'prvCreateRelationship',
      run: (change, parameters) => createLookups(change, parameters, true),
    },
  ],
  [
    'CreatePolymorphicLookupAttribute',
    {
      parameters: RELATIONSHIPS,
      answer: { AttributeId: 'Edm.Guid', RelationshipIds: 'Collection(Edm.Guid)' },
      privilege: () => 'prvCreateRelationship',
      run: (change, parameters) => createLookups(change, parameters, false),
    },
  ],
  [
    'InsertOptionValue',
    {
      parameters: {
        ...OPTION,
        ...LABELS,
        ExternalValue: 'Edm.String',
        Color: 'Edm.String',
        ParentValues: 'Collection(Edm.Int32)',
      },
      answer: { NewOptionValue: 'Edm.Int32' },
      privilege: choicePrivilege,
      run: (change, parameters) => ({ NewOptionValue: insertOption(change, parameters) }),
    },
  ],
  [
    'InsertStatusValue',
    {
      parameters: { ...OPTION, ...LABELS, StateCode: 'Edm.Int32' },
      answer: { NewOptionValue: 'Edm.Int32' },
      privilege: choicePrivilege,
      run: (change, parameters) => {
        const state = z.int().safeParse(parameters['StateCode']);
        if (!state.success) throw invalidArgument("The parameter 'StateCode' is missing or no number.");
        return { NewOptionValue: insertOption(change, parameters, state.data) };
      },
    },
  ],
  [
    'UpdateOptionValue',
    {
      parameters: {
        ...OPTION,
        ...LABELS,
        MergeLabels: 'Edm.Boolean',
        ExternalValue: 'Edm.String',
        Color: 'Edm.String',
        ParentValues: 'Collection(Edm.Int32)',
      },
      privilege: choicePrivilege,
      run: (change, parameters) => void updateOption(change, parameters),
    },
  ],
  [
    'DeleteOptionValue',
    {
      parameters: OPTION,
      privilege: choicePrivilege,
      run: (change, parameters) => void deleteOption(change, parameters),
    },
  ],
  [
    'OrderOption',
    {
      parameters: { ...CHOICE, Values: 'Collection(Edm.Int32)', SolutionUniqueName: 'Edm.String' },
      privilege: choicePrivilege,
      run: (change, parameters) => void orderOptions(change, parameters),
    },
  ],
  [
    'ReactivateEntityKey',
    {
      parameters: { EntityLogicalName: 'Edm.String', EntityKeyLogicalName: 'Edm.String' },
      privilege: () => 'prvCreateEntityKey',
      run: (change, parameters) => void reactivate(change.work, parameters),
    },
  ],
  // What is not published is in force here too; the Web API of the service sees columns at once as well.
  [
    'PublishXml',
    {
      parameters: { ParameterXml: 'Edm.String' },
      privilege: publish,
      run: (_, parameters) => void checkXml(parameters),
    },
  ],
  ['PublishAllXml', { parameters: {}, privilege: publish, run: () => undefined }],
]);

/** Answers one of {@link DEFINITION_ACTIONS}. */
export function routeDefinitionAction(work: Work, operation: Operation, name: string, action: DefinitionAction): Reply {
  if (operation.method !== 'POST' || operation.segments.length > 1)
    throw noResourceFor(`${work.root}${operation.path}`);
  const parameters = parametersOf(operation, name, action);
  const change = beginChange(work, operation.headers, {
    operation: name,
    privilege: action.privilege(parameters),
    solution: parameters['SolutionUniqueName'],
  });
  const answer = action.run(change, parameters);
  if (!answer) return changeReply(change, noContent());
  const context = `${work.root}$metadata#Microsoft.Dynamics.CRM.${name}Response`;
  return changeReply(change, jsonReply(200, { '@odata.context': context, ...answer }));
}

function parametersOf(operation: Operation, name: string, action: DefinitionAction): JsonObject {
  if (operation.body.length === 0) return {};
  const body = jsonObjectBody(operation, name);
  for (const parameter of Object.keys(body)) {
    if (!Object.hasOwn(action.parameters, parameter) && !parameter.includes('@')) {
      throw undeclaredProperty(parameter.slice(0, 128), name);
    }
  }
  return body;
}

function createLookups(change: Change, parameters: JsonObject, isCustomer: boolean): Record<string, unknown> {
  const list = parameters['OneToManyRelationships'];
  if (!Array.isArray(list) || !isJsonObject(parameters['Lookup'])) {
    throw badPayload('CreateCustomerRelationships', "The parameters 'Lookup' and 'OneToManyRelationships' are needed.");
  }
  const relationships = list.map((one: unknown) => readDefinition(one, typeNamed('OneToManyRelationshipMetadata')));
  const targets = relationships.map(({ properties }) => String(properties.get('ReferencedEntity')));
  if (isCustomer && [...targets].sort().join() !== 'account,contact') {
    throw invalidArgument('A customer lookup points to account and contact.');
  }
  const lookup = readDefinition(parameters['Lookup'], typeNamed('LookupAttributeMetadata'));
  const { relationshipIds, attributeId } = createLookup(change, relationships, lookup, isCustomer);
  return { RelationshipIds: relationshipIds, AttributeId: attributeId };
}

function reactivate({ env }: Work, parameters: JsonObject): void {
  const [table, name] = [String(parameters['EntityLogicalName']), String(parameters['EntityKeyLogicalName'])];
  const key = env.keys.of(table).find((one) => one.logicalName === name);
  if (!key) throw definitionNotFound(`${table} ${name}`.slice(0, 128));
  env.keys.reactivate(key);
}

function checkXml({ ParameterXml }: JsonObject): void {
  if (typeof ParameterXml === 'string' && /^\s*<importexportxml[\s/>]/.test(ParameterXml)) return;
  throw invalidArgument("The parameter 'ParameterXml' must be an importexportxml document.");
}
