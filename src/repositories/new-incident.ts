import type { Values } from '../driver/statement.ts';
import {
  type Analysis,
  type Enrichment,
  type NewAnalysis,
  type NewEnrichment,
  type NewIncident,
  newIncident,
} from '../model/incident.ts';
import { parse } from '../model/parse.ts';
import { type Context, columnJson, json, newId } from './context.ts';

/** The values of a new row's columns, in the table's order; without times where the caller gives none. */
export function encodeIncident(cx: Context, input: NewIncident, path: string): Values {
  const incident = parse(newIncident, input, path);
  const at = (member: string) => (path ? `${path}.${member}` : member);
  const { createdAt } = incident;
  // what was checked, not what the check answers: that lacks keys such as `__proto__`
  const { enrichments = [], analysis, proposedActions = [], tags = [], metadata = {} } = input;
  const column = (key: string, value: unknown) => columnJson(cx, 'incidents', key, value, at(key));
  return {
    id: incident.id ?? newId(),
    source: column('source', input.source),
    severity: incident.severity,
    status: incident.status ?? 'new',
    alertData: column('alertData', input.alertData),
    enrichments: column(
      'enrichments',
      enrichments.map((one) => fullEnrichment(cx, one)),
    ),
    analysis: analysis ? column('analysis', fullAnalysis(cx, analysis)) : null,
    proposedActions: column('proposedActions', proposedActions),
    ticketId: incident.ticketId ?? null,
    tags: json(cx, [...new Set(tags)], at('tags')),
    metadata: column('metadata', metadata),
    createdAt,
    updatedAt: createdAt,
  };
}

/** An enrichment with its defaults. */
export function fullEnrichment(cx: Context, enrichment: NewEnrichment): Enrichment {
  return { timestamp: cx.settings.now().toISOString(), ...defined(enrichment) } as Enrichment; // checked, and JSON once encoded
}

/** An analysis with its defaults. */
export function fullAnalysis(cx: Context, analysis: NewAnalysis): Analysis {
  return {
    reasoning: '',
    mitre_techniques: [],
    iocs: [],
    recommendations: [],
    analyzed_by: cx.actor,
    timestamp: cx.settings.now().toISOString(),
    ...defined(analysis),
  } as Analysis; // checked, and JSON once encoded
}

/** A default does not give way to an explicit undefined. */
const defined = <T extends object>(value: T) =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
