metadata description = 'The identity of the app. Whoever holds it is the app: it is attached to this function app only.'

import { resourceTags } from '../types.bicep'

@description('Name of the identity.')
@minLength(3)
@maxLength(128)
param name string

@description('Region.')
param location string

@description('Tags.')
param tags resourceTags

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Name of the identity.')
output name string = identity.name

@description('Client id: what settings of the app name the identity by.')
output clientId string = identity.properties.clientId

@description('Object id of its service principal: what role assignments and federated credentials name it by.')
output principalId string = identity.properties.principalId
