/** A value of a row as event payloads need it. Guids and date-only texts are strings; `date` is milliseconds UTC. */
export type ColumnValue =
  | null
  | string
  | number
  | boolean
  | { kind: 'date'; ms: number }
  | { kind: 'choice'; value: number }
  | { kind: 'choices'; values: readonly number[] }
  | { kind: 'money'; value: number }
  | { kind: 'lookup'; table: string; id: string; name?: string };

export type Columns = Readonly<Record<string, ColumnValue>>;

/** A row as it was or is in the table. */
export interface RowState {
  columns: Columns;
  /** Texts of choices, booleans, dates and numbers; those of lookups are their names. */
  formatted?: Readonly<Record<string, string>>;
}

export type EventMessage = 'Create' | 'Update' | 'Delete';

/** One change of one row: committed, or about to be when a synchronous step hears of it. */
export interface RowEvent {
  message: EventMessage;
  /** Logical name. */
  table: string;
  id: string;
  primaryIdColumn: string;
  primaryNameColumn?: string;
  /** The columns of the request; filtering attributes look at these alone. Empty for Delete. */
  columns: Columns;
  /** Columns that the service set because of those, such as fullname. */
  derived?: Columns;
  /** The whole row before an Update or Delete. */
  before?: RowState;
  /** The whole row after a Create or Update. */
  after?: RowState;
  userId: string;
  initiatingUserId: string;
  businessUnitId: string;
  /** Entra object ids; all zeros when left out. */
  userObjectId?: string;
  initiatingUserObjectId?: string;
  correlationId: string;
  requestId: string;
  /** Milliseconds UTC. */
  operationTime: number;
  /** 1 for a call from outside. */
  depth: number;
  /** Such as `tag`, from the request's `?tag=`. */
  sharedVariables?: Readonly<Record<string, string | number | boolean>>;
}

export interface StepImage {
  /** `entityalias`: the image's key in the payload. */
  alias: string;
  kind: 'pre' | 'post' | 'both';
  /** Empty: all columns. */
  columns: readonly string[];
}

export type WebhookAuth =
  | { kind: 'key'; value: string }
  | { kind: 'header' | 'query'; pairs: readonly (readonly [name: string, value: string])[] };

export interface WebhookEndpoint {
  url: string;
  auth: WebhookAuth;
}

/** A step with its endpoint. */
export interface WebhookStep {
  id: string;
  name: string;
  message: EventMessage;
  /** Logical name; left out for a step on every table. */
  table?: string;
  enabled: boolean;
  /** Synchronous steps run inside the transaction, asynchronous ones after it. */
  mode: 'synchronous' | 'asynchronous';
  /** 20 before the operation, 40 after it. */
  stage: 20 | 40;
  /** Only for Update; empty: any column. */
  filteringAttributes: readonly string[];
  images: readonly StepImage[];
  endpoint: WebhookEndpoint;
}

export interface OrganizationFacts {
  id: string;
  /** Unique name, for `OrganizationName`. */
  name: string;
  /** For the header `x-ms-dynamics-organization`. */
  host: string;
}
