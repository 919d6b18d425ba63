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

EFFECT_SECONDS_MAX: Final = 600  # one model or tool call
CLEARANCE_SECONDS_MAX: Final = 5  # how long a Cleared may wait before its first byte leaves
RUN_CREDENTIAL_SECONDS: Final = 3600  # renewed by use, up to the run's deadline
RUN_SECONDS_MAX: Final = 24 * 3600
REPEAT_SECONDS: Final = 60  # a write without a key, repeated within this, gets the first outcome
PROCESS_LEASE_SECONDS: Final = 15
PROCESS_HEARTBEAT_SECONDS: Final = 5
HOLD_LAPSE_SECONDS: Final = 900  # when a doubtful hold becomes an estimated charge

OUTPUT_TOKENS_DEFAULT: Final = 4096  # the cap put on a model call that names none
AGENT_DAY_NANOUSD_DEFAULT: Final = 50 * 1_000_000_000  # CO-6
TURNS_DEFAULT: Final = 20

WRITE_GROUP_MAX: Final = 256
WRITE_QUEUE_MAX: Final = 10_000
SEAL_SECONDS_MAX: Final = 1
SEAL_LEAVES_MAX: Final = 500  # a slice of sealing runs in the event loop on SQLite
DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024  # admission stops below this so settlements still fit
PAGE_ROWS_DEFAULT: Final = 50
PAGE_ROWS_MAX: Final = 500
TOOL_PROCESSES_MAX: Final = 2
TOOL_RESULT_BYTES_MAX: Final = 4 * 1024 * 1024

# A hold that lapses while its effect may still run would let the same money be spent twice.
assert HOLD_LAPSE_SECONDS > EFFECT_SECONDS_MAX + CLEARANCE_SECONDS_MAX
# A process that misses one heartbeat is not yet dead.
assert PROCESS_LEASE_SECONDS > 2 * PROCESS_HEARTBEAT_SECONDS
