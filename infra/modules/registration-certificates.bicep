metadata description = 'The certificates of the registration. A module of its own, since Entra replaces the list as a whole: only a deployment that brings certificates may send it.'

extension microsoftGraphV1

import { publicCertificate } from '../types.bicep'

@description('Key of the registration.')
@minLength(1)
@maxLength(120)
param uniqueName string

@description('Name shown in Entra.')
@minLength(1)
@maxLength(120)
param displayName string

@description('All certificates that the registration shall have.')
@minLength(1)
param certificates publicCertificate[]

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  keyCredentials: [
    for certificate in certificates: {
      displayName: certificate.displayName
      type: 'AsymmetricX509Cert'
      usage: 'Verify'
      key: certificate.key
      startDateTime: certificate.startDateTime
      endDateTime: certificate.endDateTime
    }
  ]
}

@description('Client id of the registration.')
output clientId string = application.appId
