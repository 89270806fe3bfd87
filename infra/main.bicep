metadata description = 'Dataverse Bridge: a function app that connects company systems with Dataverse, and all that it needs.'

targetScope = 'subscription'

import { alertThresholds, connectionSettings, publicCertificate, resourceTags, webhookSettings } from 'types.bicep'

@description('Short name of the product in names of resources: lower-case letters and digits.')
@minLength(2)
@maxLength(7)
param workload string = 'bridge'

@description('Short name of the stage in names of resources, as in dev, test, prod: lower-case letters and digits.')
@minLength(2)
@maxLength(6)
param environmentName string

@description('Region of all resources.')
param location string = deployment().location

@description('Name of the resource group that is made.')
@minLength(1)
@maxLength(90)
param resourceGroupName string = 'rg-${workload}-${environmentName}'

@description('Tags on all resources.')
param tags resourceTags = {}

@description('Connections to Dataverse.')
@minLength(1)
param connections connectionSettings[]

@description('Endpoints that Dataverse posts events to.')
param webhooks webhookSettings[] = []

@description('create: the registration in Entra is made here, which takes rights in Microsoft Graph. existing: somebody else made it, and nothing here touches Graph.')
@allowed(['create', 'existing'])
param entraApplicationMode string = 'create'

@description('Client id of the registration, for the mode existing.')
param entraApplicationClientId string = ''

@description('Key of the registration, chosen once: it cannot be changed.')
@minLength(1)
@maxLength(120)
param entraApplicationUniqueName string = '${workload}-${environmentName}-${take(uniqueString(subscription().subscriptionId, resourceGroupName), 6)}'

@description('Name of the registration as shown in Entra.')
@minLength(1)
@maxLength(120)
param entraApplicationDisplayName string = 'Dataverse Bridge (${environmentName})'

@description('Accounts that may sign in to the registration: of this tenant, or of any organization.')
@allowed(['AzureADMyOrg', 'AzureADMultipleOrgs'])
param entraSignInAudience string = 'AzureADMyOrg'

@description('Addresses that a sign-in may return to, for the authorization-code connection.')
param entraRedirectUris string[] = []

@description('Whether the registration asks for the delegated permission user_impersonation of Dataverse. Not needed by connections that act as an application user.')
param entraDelegatedPermission bool = false

@description('Whether the service principal of the registration is made: without it there is no application user and no token.')
param entraCreateServicePrincipal bool = true

@description('Whether the identity of the app may act as the registration, as the credential managedIdentity needs it.')
param entraFederatedCredential bool = true

@description('Object ids of owners of the registration. A pipeline that holds Application.ReadWrite.OwnedBy only has to name itself.')
param entraOwnerIds string[] = []

@description('All certificates that the registration shall have, as infra/scripts/certificate.ts prints them. Empty: those that it has stay as they are.')
param entraCertificates publicCertificate[] = []

@description('Version of Node.js.')
@allowed(['22', '24'])
param nodeVersion string = '24'

@description('Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Most instances that the platform starts.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances for HTTP calls that always run, and are paid for. 0: the first call after a rest waits for a start.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttpInstances int = 0

@description('Who may call over HTTP. keys: whoever has a key of the app. entra: whoever has the role Bridge.Use or Bridge.Admin of the registration.')
@allowed(['keys', 'entra'])
param callers string = 'keys'

@description('Emergency stop. stopped: every write to Dataverse is refused.')
@allowed(['enabled', 'stopped'])
param writes string = 'enabled'

@description('Who may read the description of the API: keyed (callers, as for every route) or anonymous (everybody).')
@allowed(['keyed', 'anonymous'])
param docs string = 'keyed'

@description('How the storage account keeps copies.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageRedundancy string = 'Standard_LRS'

@description('Days for which deleted blobs and containers can be brought back.')
@minValue(1)
@maxValue(365)
param storageSoftDeleteDays int = 7

@description('Whether nobody can remove a deleted vault before its retention is over. Cannot be taken back, and keeps the name of the vault taken for that time.')
param vaultPurgeProtection bool = true

@description('Days for which a deleted vault can be brought back. Fixed when the vault is made.')
@minValue(7)
@maxValue(90)
param vaultSoftDeleteDays int = 90

@description('Days for which telemetry and logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('E-mail addresses that alerts go to.')
param alertEmails string[] = []

@description('What the alerts compare against.')
param thresholds alertThresholds = {
  failedPercent: 10
  throttledCalls: 100
}

var suffix = take(uniqueString(subscription().subscriptionId, resourceGroupName), 6)
var longName = '${workload}-${environmentName}-${suffix}'
var readsSecrets = !empty(webhooks) || !empty(filter(connections, each => contains(['certificate', 'secret'], each.credential)))
var signsWithKeys = !empty(filter(connections, each => each.credential == 'vaultKey'))

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  scope: group
  params: {
    name: 'id-${longName}'
    location: location
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    name: 'st${workload}${environmentName}${suffix}'
    location: location
    tags: tags
    redundancy: storageRedundancy
    softDeleteDays: storageSoftDeleteDays
  }
}

module vault 'modules/vault.bicep' = {
  scope: group
  params: {
    name: 'kv-${longName}'
    location: location
    tags: tags
    purgeProtection: vaultPurgeProtection
    softDeleteDays: vaultSoftDeleteDays
  }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: 'log-${longName}'
    componentName: 'appi-${longName}'
    actionGroupName: 'ag-${longName}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    alertEmails: alertEmails
    vaultName: vault.outputs.name
  }
}

module access 'modules/access.bicep' = {
  scope: group
  params: {
    principalId: identity.outputs.principalId
    storageAccountName: storage.outputs.name
    vaultName: vault.outputs.name
    componentName: monitoring.outputs.componentName
    readsSecrets: readsSecrets
    signsWithKeys: signsWithKeys
  }
}

module registration 'modules/registration.bicep' = if (entraApplicationMode == 'create') {
  scope: group
  params: {
    uniqueName: entraApplicationUniqueName
    displayName: entraApplicationDisplayName
    signInAudience: entraSignInAudience
    redirectUris: entraRedirectUris
    delegatedPermission: entraDelegatedPermission
    createServicePrincipal: entraCreateServicePrincipal
    federatedCredential: entraFederatedCredential
    identityPrincipalId: identity.outputs.principalId
    ownerIds: entraOwnerIds
  }
}

module registrationCertificates 'modules/registration-certificates.bicep' = if (entraApplicationMode == 'create' && !empty(entraCertificates)) {
  scope: group
  params: {
    uniqueName: registration!.outputs.uniqueName
    displayName: entraApplicationDisplayName
    certificates: entraCertificates
  }
}

module functionApp 'modules/function-app.bicep' = {
  scope: group
  params: {
    planName: 'plan-${longName}'
    appName: 'func-${longName}'
    location: location
    tags: tags
    identityName: identity.outputs.name
    storageAccountName: storage.outputs.name
    deploymentContainerUrl: storage.outputs.deploymentContainerUrl
    componentName: monitoring.outputs.componentName
    vaultUri: vault.outputs.uri
    nodeVersion: nodeVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyHttpInstances: alwaysReadyHttpInstances
    writes: writes
    docs: docs
    callers: callers
    applicationClientId: entraApplicationMode == 'create' ? registration!.outputs.clientId : entraApplicationClientId
    connections: connections
    webhooks: webhooks
  }
  dependsOn: [access]
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    namePrefix: longName
    location: location
    tags: tags
    workspaceName: monitoring.outputs.workspaceName
    actionGroupName: monitoring.outputs.actionGroupName
    thresholds: thresholds
  }
}

@description('Name of the resource group.')
output resourceGroupName string = group.name

@description('Name of the function app, for func azure functionapp publish.')
output functionAppName string = functionApp.outputs.name

@description('Address of the function app.')
output functionAppUrl string = functionApp.outputs.url

@description('Name of the vault, for certificates and secrets.')
output vaultName string = vault.outputs.name

@description('Client id of the registration: the application user of every environment names it.')
output applicationClientId string = entraApplicationMode == 'create' ? registration!.outputs.clientId : entraApplicationClientId

@description('Object id of the identity of the app: subject of a federated credential that somebody else sets up.')
output identityPrincipalId string = identity.outputs.principalId
