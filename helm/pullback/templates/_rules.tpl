{{/* Where the runbook is published: as said, else as the home says that a release of this chart was made from, else
nowhere. */}}
{{- define "pullback.runbook" -}}
{{- $home := trimSuffix "/" (toString (default "" .Chart.Home)) -}}
{{- with .Values.prometheusRule.runbookUrl -}}
{{- . -}}
{{- else -}}
{{- if $home -}}{{- printf "%s/blob/v%s/docs/runbook.md" $home .Chart.Version -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* A rule file with this release's figures, in the expressions and in the words; [path, root]. Texts that are replaced
by one another go by way of marks, so that no figure is replaced twice. */}}
{{- define "pullback.rules" -}}
{{- $given := (index . 1).Values.prometheusRule -}}
{{- $to := $given.thresholds -}}
{{- $runbook := include "pullback.runbook" (index . 1) -}}
{{- $link := ternary (printf "runbook_url: \"%s#" $runbook) "runbook: \"docs/runbook.md#" (ne $runbook "") -}}
{{- (index . 1).Files.Get (index . 0)
  | replace "runbook: \"docs/runbook.md#" $link
  | replace "> 0.015\n" "> @slow@\n" | replace "1.5 percentage points" "@slow-words@ percentage points"
  | replace "> 0.1\n" "> @fast@\n" | replace "10 percentage points" "@fast-words@ percentage points"
  | replace "> @slow@" (printf "> %v" $to.errorRate) | replace "@slow-words@" (mulf 100 $to.errorRate | toString)
  | replace "> @fast@" (printf "> %v" $to.fastErrorRate) | replace "@fast-words@" (mulf 100 $to.fastErrorRate | toString)
  | replace "requests:slow >= 20\n" (printf "requests:slow >= %v\n" $to.requests)
  | replace "requests:fast >= 10\n" (printf "requests:fast >= %v\n" $to.fastRequests)
  | replace "> 345600\n" (printf "> %d\n" (int64 (mulf 3600 $to.drillAgeHours)))
  | replace "} * 1.2\n" (printf "} * %v\n" $to.latencyRatio)
  | replace "20% above" (printf "%v%% above" (mulf 100 (subf $to.latencyRatio 1))) -}}
{{- end -}}
