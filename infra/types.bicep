metadata description = 'What the parameters of the bridge look like.'

@export()
@description('Tags by name.')
type resourceTags = {
  @description('Value of the tag.')
  *: string
}

@export()
@description('A named connection to a Dataverse environment. The app says what contradicts itself: GET connections/NAME/test, stage settings.')
@sealed()
type connectionSettings = {
  @description('Name by which callers pick the connection: lower-case letters and digits, a letter first. Callers that name none get the connection called default.')
  @minLength(1)
  @maxLength(24)
  name: string

  @description('URL of the environment, as in https://ORG.crm4.dynamics.com.')
  @minLength(12)
  url: string

  @description('How the connection proves itself to Entra: the identity of the app as federated credential, a certificate whose key stays in the vault, a certificate read from the vault, or a client secret read from the vault.')
  credential: 'managedIdentity' | 'vaultKey' | 'certificate' | 'secret'

  @description('Tenant of the registration, as GUID or domain name. Left out: the tenant of this deployment.')
  tenantId: string?

  @description('Client id of the registration. Left out: the registration that this deployment makes or is given.')
  clientId: string?

  @description('Name of the certificate in the vault, for vaultKey and certificate.')
  certificateName: string?

  @description('Name of the client secret in the vault, for secret.')
  secretName: string?

  @description('Scope to ask tokens for. Left out: derived from the URL.')
  scope: string?

  @description('Token endpoint. Left out: derived from the cloud of the URL and the tenant.')
  tokenUrl: string?

  @description('Logical names of the only tables that the connection may touch. Left out: what the security role allows.')
  allowedTables: string[]?

  @description('Connections to the environment at the same time. Left out: the default of the app.')
  @minValue(1)
  @maxValue(52)
  maxConcurrency: int?

  @description('Percent of the limits of the application user that the app may use; the rest is left to others that sign in as the same user. Left out: all.')
  @minValue(1)
  @maxValue(100)
  budget: int?
}

@export()
@description('An endpoint that Dataverse posts events to: /api/webhooks/dataverse/NAME.')
@sealed()
type webhookSettings = {
  @description('Name of the endpoint: lower-case letters and digits, a letter first.')
  @minLength(1)
  @maxLength(24)
  name: string

  @description('Name of its secret in the vault; the newest two enabled versions are accepted.')
  @minLength(1)
  @maxLength(127)
  secretName: string

  @description('Connection that the events belong to. Left out: default.')
  connection: string?

  @description('Request header that carries the secret. Left out: x-bridge-key.')
  header: string?

  @description('Query parameter that may carry the secret besides code.')
  query: string?
}

@export()
@description('The public part of a certificate, as infra/scripts/certificate.ts prints it.')
@sealed()
type publicCertificate = {
  @description('Name shown in Entra.')
  @minLength(1)
  @maxLength(90)
  displayName: string

  @description('The certificate without its private key: DER in base64.')
  @minLength(1)
  key: string

  @description('Start of its validity, ISO 8601 UTC.')
  startDateTime: string

  @description('End of its validity, ISO 8601 UTC.')
  endDateTime: string
}

@export()
@description('What the alerts compare against.')
@sealed()
type alertThresholds = {
  @description('Share of failed invocations in 15 minutes, in percent.')
  @minValue(1)
  @maxValue(100)
  failedPercent: int

  @description('Calls answered with 429 in 15 minutes. Some are normal: the app works up to the limits of the service and waits as told.')
  @minValue(1)
  throttledCalls: int
}
