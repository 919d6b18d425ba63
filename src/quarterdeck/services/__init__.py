"""Use cases: one noun per file; authorisation is the first line of each."""

from dataclasses import dataclass

from quarterdeck.services.actions import Actions
from quarterdeck.services.agents import Agents
from quarterdeck.services.approvals import Approvals
from quarterdeck.services.backups import Backups
from quarterdeck.services.blast_radius import BlastRadii
from quarterdeck.services.changes import Changes
from quarterdeck.services.consents import Consents
from quarterdeck.services.conversations import Conversations
from quarterdeck.services.costs import Costs
from quarterdeck.services.definitions import Definitions
from quarterdeck.services.health import Health
from quarterdeck.services.keys import Keys
from quarterdeck.services.ledger import LedgerReadings
from quarterdeck.services.overview import Overview
from quarterdeck.services.plans import Plans
from quarterdeck.services.replies import Replies
from quarterdeck.services.runs import Runs
from quarterdeck.services.search import Search
from quarterdeck.services.secrets import Secrets
from quarterdeck.services.sessions import EndedSessions
from quarterdeck.services.suggestions import Suggestions
from quarterdeck.services.timeline import Timeline
from quarterdeck.services.views import Views


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything an entrance may ask for: fields, no methods."""

    actions: Actions
    agents: Agents
    approvals: Approvals
    backups: Backups
    blast_radii: BlastRadii
    changes: Changes
    consents: Consents
    conversations: Conversations
    costs: Costs
    definitions: Definitions
    health: Health
    keys: Keys
    ledger: LedgerReadings
    overview: Overview
    plans: Plans
    replies: Replies
    runs: Runs
    search: Search
    secrets: Secrets
    sessions: EndedSessions
    suggestions: Suggestions
    timeline: Timeline
    views: Views
