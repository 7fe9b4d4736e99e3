"""Where things stand in the arrays of the memory controller's kernels. Names only; no code. Meaning: docs/controller.md."""

# fields of the configuration
K_READ_QUEUE = 0
K_WRITE_QUEUE = 1
K_WRITE_HIGH = 2  # more writes than this: serve writes
K_WRITE_LOW = 3  # fewer than this: serve reads again
K_FCFS = 4
K_ROW_ORDER = 5  # added to the number of the request that an ACT or PRE is for: see ORDER
K_HIT_CAP = 6  # 0: none
K_CLOSED = 7  # 1: auto-precharge with the last hit, 2: with every column command
K_TIMEOUT = 8  # ticks; -1: rows are not closed for lack of use
K_URGENT = 9  # refreshes owed from which on the next is urgent
K_PULL_IN = 10  # refreshes that may be issued before they are due
K_POWER_DOWN = 11  # idle ticks; 0: never
K_SELF_REFRESH = 12
K_READ_LATENCY = 13  # ticks from issue to the end of the data
K_WRITE_LATENCY = 14
K_ACT = 15  # indices of commands
K_PRE = 16
K_READ = 17
K_WRITE = 18
K_READ_CLOSE = 19
K_WRITE_CLOSE = 20
K_CLOSE_UNIT = 21
K_REFRESH = 22
K_PREA = 23
K_PDE = 24
K_PDX = 25
K_SRE = 26
K_SRX = 27
K_BANK_QUEUE = 28  # places for each bank besides those of the common queue
K_LOOK = 29  # requests of a bank, oldest first, that are looked at
K_FINISH = 30  # 1: the request for which a row was opened is served in either mode
K_TOGETHER = 31  # refreshes that fall due at once
K_RESTS = 32  # 1: with power-down or self-refresh
N_CONFIG = 33

ORDER = 1 << 48  # more than any number of a request; what comes first has the lowest sum

# variables of one channel
V_TICK = 0
V_MODE = 1  # 0: serves reads, 1: writes
V_SEQUENCE = 2  # number of the next request to enter a queue
V_REFRESHED = 3
V_LAST_ISSUE = 4  # as a key
V_LAST_ACCEPT = 5  # tick
V_LAST_COLUMN = 6  # tick of the last column command
V_ASLEEP = 7  # power units in self-refresh
V_LOGGED = 8
V_BASE = 9  # number of the first request of this chunk
V_POSITION = 10  # next request of the chunk
V_LAST_DATA = 11  # tick at which the last data ends
V_READS = 12  # counters from here on
V_WRITES = 13
V_KIND = 14  # requests by kind: five counters, see HIT to MERGED
V_LATENCY_SUM = 19  # of reads
V_LATENCY_MAX = 20
V_OPEN_TICKS = 21  # over all banks, of intervals that ended
V_LOOKS = 22  # ticks looked at
V_ALL_SLEPT = 23  # 1: every power unit is, or was, in self-refresh since the last of them woke up
V_UNTIL = 24  # tick up to which the channel goes on, refreshing, once the trace has ended
N_VARS = 25

# fields of a bank
B_ROW = 0  # -1: closed
B_LAST_USE = 1  # tick of the last ACT or column command
B_BYPASS = 2  # column commands that overtook an older request since the row was opened
B_UNIT = 3  # refresh unit
B_POWER = 4  # power unit
B_OPEN_SINCE = 5
B_COMMAND = 6  # candidate in the queue being served; -1: to be found again
B_SLOT = 7  # of the request that it is for
B_BOUND = 8  # no candidate of the bank is ready before this tick; FOREVER: the queue being served has none
B_OWNER = 9  # queue of the request for which the row was opened and that is not served yet; -1: none
N_BANK = 10

BLOCK = 4  # banks whose bounds have a common lower bound

# fields of a queue's slot
Q_BANK = 0
Q_ROW = 1
Q_COL = 2
Q_SEQUENCE = 3
Q_ACCEPTED = 4
Q_MARK = 5  # HIT: no row command was issued for it; MISS: an ACT was; CONFLICT: a PRE was
Q_NEXT = 6  # next younger request of the bank, or next free slot; -1: none
Q_NUMBER = 7  # of the request in the trace
N_QUEUE = 8

# lists of a queue, by bank
L_HEAD = 0
L_TAIL = 1
L_COUNT = 2
N_LIST = 3

# a queue as a whole
T_SIZE = 0  # requests
T_FREE = 1  # first free slot
T_WAITING = 2  # those that take a place of the common queue, not one of their bank's
N_TOTAL = 3

# fields of a refresh unit
U_PENDING = 0  # requests for its banks in both queues
U_OPEN = 1
U_FIRST_BANK = 2
U_POWER = 3
U_ROUND = 4  # the unit with which the round of its level instance begins; -1: rounds do not matter
U_NOT_BEFORE = 5  # key before which its refresh must not issue if it begins a round
N_UNIT = 6

# fields of a power unit
P_STATE = 0
P_PENDING = 1
P_OPEN = 2
P_LAST = 3  # tick of the last command to it
N_POWER = 4

# fields of a rank
G_OPEN = 0  # banks
G_SINCE = 1  # tick since when it has been in its present background state
G_TIME = 2  # ticks spent in each of the background states
N_RANK = 7

AWAKE = 0
DOWN = 1
ASLEEP = 2

# background states, in the order of G_TIME
BG_ACTIVE = 0
BG_PRECHARGED = 1
BG_ACTIVE_DOWN = 2
BG_PRECHARGED_DOWN = 3
BG_SELF_REFRESH = 4

# fields of a request that was served
R_KIND = 0
R_ACCEPTED = 1
R_DONE = 2

HIT = 0
MISS = 1
CONFLICT = 2
FORWARDED = 3
MERGED = 4

NEED_REQUESTS = 0
DONE = 1
LOG_FULL = 2
STUCK = 3
PAUSED = 4  # enough for one call; so that a person can interrupt
LOOKS = 1 << 20  # ticks looked at in one call
LOG_ROOM = 16  # rows of the log that one tick may need
