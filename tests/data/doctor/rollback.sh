#!/bin/bash
set -euo pipefail
VERSION="${1:?Version required}"
REASON="${2:?Reason required}"

helm upgrade summit-prod ./helm/summit \
  --namespace production \
  --set canary.weight=0 \
  --reuse-values \
  --wait

kubectl delete pods -n production -l app=summit-server,version=$VERSION

curl -X POST https://slack.com/api/chat.postMessage \
  -H "Authorization: Bearer $SLACK_TOKEN" \
  -d "{\"channel\": \"#releases\", \"text\": \"Canary rollback: $VERSION $REASON\"}"
