metadata description = 'What an operator must know: failures, throttling, poison messages, credentials near their end.'

import { alertThresholds, resourceTags } from '../types.bicep'

@description('What the names of the alerts begin with.')
@minLength(1)
@maxLength(100)
param namePrefix string

@description('Region.')
param location string

@description('Tags.')
param tags resourceTags

@description('Name of the Log Analytics workspace.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Name of the action group that is told.')
@minLength(1)
@maxLength(260)
param actionGroupName string

@description('What the alerts compare against.')
param thresholds alertThresholds

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' existing = {
  name: actionGroupName
}

// A caller's own fault (4xx) is no failure of the app.
resource failures 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-failures'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: invocations fail'
    description: 'More invocations of functions failed than usual. Look at the exceptions of the same time in Application Insights.'
    enabled: true
    severity: 1
    scopes: [workspace.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppRequests | summarize failed = countif(Success == false and ResultCode !startswith "4"), total = count(), TimeGenerated = max(TimeGenerated) | where total > 0 | project TimeGenerated, percent = 100.0 * failed / total'
          metricMeasureColumn: 'percent'
          timeAggregation: 'Maximum'
          operator: 'GreaterThanOrEqual'
          threshold: thresholds.failedPercent
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

resource throttling 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-throttling'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: Dataverse holds it back'
    description: 'Dataverse answers 429 more often than usual. Others may use up the limits of the same application user.'
    enabled: true
    severity: 3
    scopes: [workspace.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppMetrics | where Name == "bridge.dataverse.throttled" | project TimeGenerated, Sum, Connection = tostring(Properties["bridge.connection"])'
          metricMeasureColumn: 'Sum'
          timeAggregation: 'Total'
          operator: 'GreaterThanOrEqual'
          threshold: thresholds.throttledCalls
          dimensions: [
            {
              name: 'Connection'
              operator: 'Include'
              values: ['*']
            }
          ]
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

// The next three read what the timer connectionHealth logs. It logs what has changed, once: so the window is longer than
// the time between two looks at it, as a line may come late, and such an alert may tell twice but is not taken back.
resource connectionFailures 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-connections'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: a connection broke'
    description: 'The regular test of a connection failed after it had passed. The log line says at which stage, why, and what to do next.'
    enabled: true
    severity: 1
    scopes: [workspace.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M'
    autoMitigate: false
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppTraces | where Message startswith "connection broke"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

resource poisonMessages 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-poison'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: messages were given up'
    description: 'Messages failed too often and were moved to a poison queue, which the log line names.'
    enabled: true
    severity: 2
    scopes: [workspace.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M'
    autoMitigate: false
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppTraces | where Message startswith "poison queue has grown"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}

resource credentialExpiry 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${namePrefix}-credentials'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Bridge: a credential ends soon'
    description: 'The certificate or secret of a connection ends within 30 days. Make a new version and register it before that.'
    enabled: true
    severity: 1
    scopes: [workspace.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M'
    autoMitigate: false
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppTraces | where Message startswith "credential of connection ends soon"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}
