metadata description = 'The function app on Flex Consumption, and all its settings.'

import { connectionSettings, resourceTags, webhookSettings } from '../types.bicep'

@description('Name of the plan.')
@minLength(1)
@maxLength(60)
param planName string

@description('Name of the function app.')
@minLength(2)
@maxLength(60)
param appName string

@description('Region.')
param location string

@description('Tags.')
param tags resourceTags

@description('Name of the identity of the app.')
@minLength(3)
@maxLength(128)
param identityName string

@description('Name of the storage account.')
@minLength(3)
@maxLength(24)
param storageAccountName string

@description('URL of the container that the package of the app lies in.')
@minLength(1)
param deploymentContainerUrl string

@description('Name of the Application Insights component.')
@minLength(1)
@maxLength(255)
param componentName string

@description('Address of the vault.')
@minLength(1)
param vaultUri string

@description('Version of Node.js.')
@allowed(['22', '24'])
param nodeVersion string

@description('Memory of an instance in MB. DuckDB takes about 40 percent of it when it plans a run.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Most instances that the platform starts.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Instances for HTTP calls that always run, and are paid for. 0: the first call after a rest waits for a start.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttpInstances int

@description('stopped: every write to Dataverse is refused.')
@allowed(['enabled', 'stopped'])
param writes string

@description('Who may read the description of the API: keyed or anonymous.')
param docs string

@description('Who may call over HTTP: whoever has a key of the app, or whoever has a role of the registration.')
@allowed(['keys', 'entra'])
param callers string

@description('Client id of the registration: of connections that name none, and what tokens of callers are for.')
param applicationClientId string

@description('Connections to Dataverse.')
param connections connectionSettings[]

@description('Endpoints that Dataverse posts events to.')
param webhooks webhookSettings[]

var callerEntries = callers == 'entra'
  ? [
      { name: 'BRIDGE_TENANT_ID', value: tenant().tenantId }
      { name: 'BRIDGE_AUDIENCE', value: applicationClientId }
      { name: 'BRIDGE_AUTHORITY', value: environment().authentication.loginEndpoint }
    ]
  : []
var connectionEntries = flatten(map(connections, each => [
  { name: 'Dataverse__${each.name}__url', value: each.url }
  { name: 'Dataverse__${each.name}__tenantId', value: each.?tenantId ?? tenant().tenantId }
  { name: 'Dataverse__${each.name}__clientId', value: each.?clientId ?? applicationClientId }
  { name: 'Dataverse__${each.name}__credential', value: each.credential }
  { name: 'Dataverse__${each.name}__certificateName', value: each.?certificateName ?? '' }
  { name: 'Dataverse__${each.name}__secretName', value: each.?secretName ?? '' }
  { name: 'Dataverse__${each.name}__scope', value: each.?scope ?? '' }
  { name: 'Dataverse__${each.name}__tokenUrl', value: each.?tokenUrl ?? '' }
  { name: 'Dataverse__${each.name}__allowedTables', value: join(each.?allowedTables ?? [], ',') }
  { name: 'Dataverse__${each.name}__maxConcurrency', value: string(each.?maxConcurrency ?? '') }
  { name: 'Dataverse__${each.name}__budget', value: string(each.?budget ?? '') }
]))
var webhookEntries = flatten(map(webhooks, each => [
  { name: 'Webhook__${each.name}__secretName', value: each.secretName }
  { name: 'Webhook__${each.name}__connection', value: each.?connection ?? '' }
  { name: 'Webhook__${each.name}__header', value: each.?header ?? '' }
  { name: 'Webhook__${each.name}__query', value: each.?query ?? '' }
]))
var settingsByName = toObject(
  filter(concat(callerEntries, connectionEntries, webhookEntries), entry => !empty(entry.value)),
  entry => entry.name,
  entry => entry.value
)

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource storageAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    clientAffinityEnabled: false
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        name: 'node'
        version: nodeVersion
      }
      scaleAndConcurrency: {
        alwaysReady: alwaysReadyHttpInstances > 0
          ? [
              {
                name: 'http'
                instanceCount: alwaysReadyHttpInstances
              }
            ]
          : []
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
    siteConfig: {
      http20Enabled: true
      minTlsVersion: '1.2'
    }
  }
}

resource deploymentWithPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: site
  name: 'scm'
  properties: {
    allow: false
  }
}

resource ftpWithPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: site
  name: 'ftp'
  properties: {
    allow: false
  }
}

// Replaces all settings of the app: what was set by hand is gone after a deployment.
resource settings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: site
  name: 'appsettings'
  properties: union(
    {
      AzureWebJobsStorage__blobServiceUri: storageAccount.properties.primaryEndpoints.blob
      AzureWebJobsStorage__queueServiceUri: storageAccount.properties.primaryEndpoints.queue
      AzureWebJobsStorage__tableServiceUri: storageAccount.properties.primaryEndpoints.table
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identity.properties.clientId}'
      MANAGED_IDENTITY_CLIENT_ID: identity.properties.clientId
      KEY_VAULT_URI: vaultUri
      BRIDGE_AUTH: callers
      BRIDGE_WRITES: writes
      BRIDGE_DOCS: docs
    },
    settingsByName
  )
}

@description('Name of the function app.')
output name string = site.name

@description('Address of the function app.')
output url string = 'https://${site.properties.defaultHostName}'
