"""Every bound of the system, its unit last. Argued in docs/limits.md; relations asserted below."""

from typing import Final

BODY_BYTES_MAX: Final = 32 * 1024 * 1024  # a request body, to any route
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # what is kept of one upstream answer for the record
JSON_DEPTH_MAX: Final = 128
NAME_CHARACTERS_MAX: Final = 64
TARGET_CHARACTERS_MAX: Final = 200  # what is kept of a model or tool name nobody granted
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
FLEET_FILE_BYTES_MAX: Final = 1024 * 1024
FLEET_FILES_MAX: Final = 10_000
FLEET_FOLDER_BYTES_MAX: Final = 64 * 1024 * 1024
FLEET_FOLDER_DEPTH_MAX: Final = 8
ERROR_CHARACTERS_MAX: Final = 500  # what is kept of an error in somebody else's words

EFFECT_SECONDS_MAX: Final = 600  # one model or tool call
CLEARANCE_SECONDS_MAX: Final = 5  # how long a Cleared may wait before its first byte leaves
RUN_CREDENTIAL_SECONDS: Final = 3600  # renewed by use, up to the run's deadline
RUN_SECONDS_MAX: Final = 24 * 3600
REPEAT_SECONDS: Final = 60  # a write without a key, repeated within this, gets the first outcome
PROCESS_LEASE_SECONDS: Final = 15
PROCESS_HEARTBEAT_SECONDS: Final = 5
HOLD_LAPSE_SECONDS: Final = 900  # when a doubtful hold becomes an estimated charge
DOUBT_TRIES_MAX: Final = 12  # more of an idempotent tool whose outcome nobody knows
DOUBT_PAUSE_SECONDS: Final = 5  # before the second of these; then doubled
DOUBT_PAUSE_SECONDS_MAX: Final = 600
DOUBT_SECONDS_MAX: Final = 3600  # after that a server may have forgotten the key

OUTPUT_TOKENS_DEFAULT: Final = 4096  # the cap put on a model call that names none
AGENT_DAY_NANOUSD_DEFAULT: Final = 50 * 1_000_000_000  # CO-6
TURNS_DEFAULT: Final = 20

WRITE_GROUP_MAX: Final = 256
WRITE_QUEUE_MAX: Final = 10_000
SEAL_SECONDS_MAX: Final = 1
SEAL_LEAVES_MAX: Final = 500  # a slice of sealing runs in the event loop on SQLite
DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024  # admission stops below this so settlements still fit
CARD_WORDS_MAX: Final = 150
PAGE_ROWS_DEFAULT: Final = 50
PAGE_ROWS_MAX: Final = 500
CURSOR_CHARACTERS_MAX: Final = 512
RUN_WORDS_MAX: Final = 64  # by which one run can be found
WORD_CHARACTERS_MAX: Final = 40
SEARCH_WORDS_MAX: Final = 8  # that one search may ask for
REPLY_SECONDS: Final = 24 * 3600  # how long an idempotency key is remembered
REPLIES_MAX: Final = 10_000  # remembered for one caller at once
REPLY_BYTES_MAX: Final = 1024 * 1024
LINE_CHARACTERS_MAX: Final = 300  # of what agents and content say, where one line is shown
QUOTE_CHARACTERS_MAX: Final = 20_000  # of one text on a page; the rest is a command or a file away
FORM_BYTES_MAX: Final = 8 * 1024
SIGN_IN_LINK_SECONDS: Final = 15 * 60
SIGN_IN_LINKS_MAX: Final = 64  # unused links kept at once; a new one pushes out the oldest
SESSION_SECONDS: Final = 12 * 3600
TIMELINE_ROWS: Final = 100  # of a run's actions, on the page and in each piece fetched later
EARLIER_PARTS_MAX: Final = 300  # of a conversation, before what a turn added
ADDED_PARTS_MAX: Final = 60
COMPARED_PARTS_MAX: Final = 4_000  # of two requests that are not linked
COMPARED_LINES_MAX: Final = 400  # of a text that replaced another
TARGET_ACTIONS_LOOKED_MAX: Final = 5_000  # looked through for those that fit a filter, a page
VIEWS_MAX: Final = 50  # saved by one person
VIEW_NAME_CHARACTERS_MAX: Final = 60
VIEW_QUERY_CHARACTERS_MAX: Final = 1_000
LIVE_STREAMS_MAX: Final = 200  # pages that are told of changes, of one process
LIVE_STREAM_SECONDS: Final = 600  # then the browser asks anew, and its session is looked at again
LIVE_POLL_SECONDS: Final = 1

TOOL_PROCESSES_MAX: Final = 2
SCHEMA_PARTS_MAX: Final = 10_000
SCHEMA_CHECKS_PER_PLACE_MAX: Final = 1_000
SCHEMA_STEPS_MAX: Final = 1_000_000  # to find out how much work a schema makes
VALUE_CHECKS_MAX: Final = 20_000_000  # of one value against its schema
PATTERN_BYTES_MAX: Final = 1024 * 1024  # of one pattern, compiled
PATTERN_BYTES_LIGHT: Final = 64 * 1024
PATTERN_TEXT_BYTES_MAX: Final = 128 * 1024  # matched with patterns that are not light
TOOL_ARGUMENTS_BYTES_MAX: Final = 4 * 1024 * 1024
TOOL_RESULT_BYTES_MAX: Final = 4 * 1024 * 1024
TOOL_ENVELOPE_BYTES_MAX: Final = 4096  # around a result; errors are shorter than this
TOOL_START_SECONDS_MAX: Final = 30  # to start Python and run the file's own lines, imports included
TOOL_IDLE_SECONDS: Final = 60
TOOL_GRACE_SECONDS: Final = 1  # for an idle process to leave by itself, closing what it has open
TOOL_END_SECONDS_MAX: Final = 5  # for the kernel to end what was killed
TOOL_STDERR_BYTES_KEPT: Final = 4096
TOOL_MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
TOOL_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
TOOL_OPEN_FILES_MAX: Final = 256

VENDOR_CONNECT_SECONDS_DEFAULT: Final = 10
VENDOR_FIRST_BYTE_SECONDS_DEFAULT: Final = 300
VENDOR_BETWEEN_BYTES_SECONDS_DEFAULT: Final = 180
VENDOR_RETRIES_DEFAULT: Final = 1
VENDOR_RETRIES_MAX: Final = 5
VENDOR_CALLS_DEFAULT: Final = 512  # at once, to one vendor entry, of one process
VENDOR_CALLS_MAX: Final = 10_000
VENDOR_WAITING_MAX: Final = 1000  # calls that wait for a place at one vendor entry
VENDOR_WAIT_SECONDS_MAX: Final = 3
AGENT_CALLS_PER_FREE_PLACE: Final = 3  # an agent may hold so many times what it leaves free
VENDOR_ERROR_BYTES_MAX: Final = 64 * 1024  # of an error that is not passed on
VENDOR_ERROR_SECONDS_MAX: Final = 5
RETRY_BACKOFF_MILLISECONDS: Final = 250
RETRY_BACKOFF_MILLISECONDS_MAX: Final = 4000
RETRY_WAIT_SECONDS_MAX: Final = 8
VENDOR_LINES_MAX: Final = 1000  # entries a process keeps the state of
UPSTREAM_ADDRESSES_MAX: Final = 1024  # URLs a process keeps ready
KEEPALIVE_SECONDS: Final = 30  # an unused connection to a vendor or a server
UPSTREAM_HEAD_BYTES_MAX: Final = 64 * 1024  # status line and headers of an answer
UPSTREAM_BUFFER_BYTES_MAX: Final = 128 * 1024  # of an answer whose reader is slower than it
NAME_SECONDS_MAX: Final = 10  # a name leads to the same addresses
CLOSED_WHILE_SENDING_MILLISECONDS_MAX: Final = 250
CIRCUIT_WINDOW_SECONDS: Final = 30
CIRCUIT_CALLS_MIN: Final = 5
CIRCUIT_FAILURE_PERCENT: Final = 50
CIRCUIT_OPEN_SECONDS: Final = 15

SECRET_OVERLAP_SECONDS_DEFAULT: Final = 24 * 3600  # the value before a rotated secret's
SECRET_OVERLAP_SECONDS_MAX: Final = 30 * 24 * 3600
SECRET_AGE_DAYS_MAX: Final = 90  # then `doctor` says to rotate it
SERVER_SECONDS_DEFAULT: Final = 60  # one call of an MCP server or HTTP API
SERVER_CALLS_DEFAULT: Final = 64  # at once, to one server, of one process
SERVER_CALLS_MAX: Final = 10_000
TOKEN_FETCH_SECONDS_MAX: Final = 3  # for an issuer to answer
TOKEN_ANSWER_BYTES_MAX: Final = 64 * 1024
TOKEN_SECONDS_DEFAULT: Final = 60  # the life of a token whose issuer does not say
TOKENS_KEPT_MAX: Final = 1000
CONSENTS_PENDING_MAX: Final = 64  # that people were asked for and have not answered
CONSENT_SECONDS_MAX: Final = 600  # for a person to answer
CONSENT_ROUNDS_MAX: Final = 3  # a person is asked, for one thing a server refuses
OPENAPI_JSON_BYTES_MAX: Final = 32 * 1024 * 1024
OPENAPI_YAML_BYTES_MAX: Final = 4 * 1024 * 1024  # reading YAML takes twenty times as long
OPENAPI_OPERATIONS_MAX: Final = 1000  # imported at once
OPENAPI_SCHEMA_PARTS_MAX: Final = 2000  # of the arguments or the results of one operation
HTTP_URL_BYTES_MAX: Final = 8 * 1024
HTTP_HEADER_BYTES_MAX: Final = 4 * 1024  # of one that an argument makes
HTTP_RETRIES_MAX: Final = 1  # of what may be repeated
HTTP_ERROR_BYTES_MAX: Final = 16 * 1024  # of an error, as the agent is told it
JWT_BYTES_MAX: Final = 16 * 1024  # an access token of a person
JWT_SKEW_SECONDS: Final = 30  # between an issuer's clock and ours
JWKS_KEPT_SECONDS: Final = 600  # an issuer's keys
JWKS_STALE_SECONDS: Final = 3600  # the same, while it cannot be asked
JWKS_REFETCH_SECONDS: Final = 30  # between two looks for a key nobody knows
DOCUMENT_SECONDS_MAX: Final = 5  # for an issuer's metadata or keys
DOCUMENT_BYTES_MAX: Final = 256 * 1024

SERVER_ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # one message of an MCP server
SERVER_STREAM_BYTES_MAX: Final = 64 * 1024 * 1024  # all it says before its answer, and that
SERVER_MESSAGES_AT_ONCE: Final = 32  # of one stream; so many again only after
SERVER_MESSAGES_MILLISECONDS: Final = 20
SERVER_OPEN_SECONDS_MAX: Final = 30  # to meet an MCP server: connect, start, shake hands
SERVER_CLOSE_SECONDS_MAX: Final = 2  # for goodbyes that nobody waits for
SERVER_RESUMES_MAX: Final = 5  # of a stream that its server cut and can go on with
SERVER_RETRY_SECONDS_MAX: Final = 5  # a server may ask to wait so long before that
SERVER_SESSIONS_MAX: Final = 1000  # kept open by one process
SERVER_SESSION_IDLE_SECONDS: Final = 600
SERVER_PROCESSES_MAX: Final = 64  # behind commands, of one process
SERVER_BACKOFF_SECONDS: Final = 1  # before a command that died is started again; then doubled
SERVER_BACKOFF_SECONDS_MAX: Final = 60
SERVER_STDERR_BYTES_KEPT: Final = 16 * 1024
SERVER_OPEN_FILES_MAX: Final = 1024
SLICE_BYTES: Final = 64 * 1024  # of a large message worked on before others have their turn
DEFINITIONS_PER_SERVER_MAX: Final = 2000
DEFINITION_BYTES_MAX: Final = 256 * 1024
DEFINITIONS_SECONDS: Final = 60  # a definition looked at so long ago is looked at before a call
DEFINITIONS_PAGES_MAX: Final = 100  # of one list of a server
DEFINITIONS_WAIT_SECONDS_MAX: Final = 3  # a call waits so long for a look
DEFINITIONS_LISTED_AT_ONCE: Final = 8  # servers, by one process

MCP_MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024  # what a client sends at once; results are apart
MCP_ID_CHARACTERS_MAX: Final = 256  # of a request's id
MCP_METHOD_CHARACTERS_MAX: Final = 128
MCP_PAGE_ITEMS: Final = 1000  # of a list; the rest is behind a cursor
MCP_LIST_SECONDS_MAX: Final = 2  # a list waits for its servers together, then uses what it knows
MCP_OPEN_MAX: Final = 256  # exchanges of one run under way at once in one process
MCP_STREAMS_MAX: Final = 1000  # that listen for changes, of one process
MCP_STREAMS_OF_RUN_MAX: Final = 16
MCP_WATCH_SECONDS: Final = 1  # between looks at what may have changed
MCP_WATCHED_SECONDS: Final = 300  # of one action that watches; then another begins
MCP_REWATCH_SECONDS: Final = 30  # before a server that broke off is asked again
MCP_WATCHED_MAX: Final = 64  # resources of one stream or session
MCP_STANDING_MAX: Final = 256  # servers that one process listens to for changes of their lists
MCP_KEEPALIVE_SECONDS: Final = 15  # between comments on a silent stream
MCP_ANSWER_SECONDS_MAX: Final = 300  # for a client to answer what a server asks its user
MCP_ASKS_MAX: Final = 16  # that a server may ask within one exchange
MCP_ASK_BYTES_MAX: Final = 256 * 1024  # of one of them
MCP_STATE_SECONDS: Final = 3600  # for a client to call again with what a server asked for
MCP_SESSION_SECONDS: Final = 24 * 3600  # a handshake is good for; a run lives no longer
MCP_CLIENT_CHARACTERS_MAX: Final = 64  # kept of a client's name and version

ANSWER_CHARACTERS_MAX: Final = 2_000  # of a person's reason for allowing, denying or dismissing
PLAN_STEPS_MAX: Final = 50
PLANS_OF_RUN_MAX: Final = 200

# A hold that lapses while its effect may still run would let the same money be spent twice.
assert HOLD_LAPSE_SECONDS > EFFECT_SECONDS_MAX + CLEARANCE_SECONDS_MAX
# An idempotent call is given up when its hold may lapse, not before.
assert DOUBT_SECONDS_MAX > HOLD_LAPSE_SECONDS
# Whoever waited for a place at a vendor may still begin.
assert VENDOR_WAIT_SECONDS_MAX < CLEARANCE_SECONDS_MAX
# Whoever waited for a token may still begin.
assert TOKEN_FETCH_SECONDS_MAX < CLEARANCE_SECONDS_MAX
# Pages on the next piece of a timeline must not be cut by the bound of a page.
assert TIMELINE_ROWS <= PAGE_ROWS_MAX
# A server's question is answered within the call that it belongs to.
assert MCP_ANSWER_SECONDS_MAX < EFFECT_SECONDS_MAX
# Whoever waited for a look at a definition may still begin.
assert DEFINITIONS_WAIT_SECONDS_MAX < CLEARANCE_SECONDS_MAX
# A process that misses one heartbeat is not yet dead.
assert PROCESS_LEASE_SECONDS > 2 * PROCESS_HEARTBEAT_SECONDS


def page_rows(asked: int) -> int:
    """How many rows to read for a page: up to one beyond the largest, which says there are more."""
    return max(1, min(asked or PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX + 1))
