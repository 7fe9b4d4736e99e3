"""Where things stand in the integer arrays that kernels take. Names only; no code."""

NEVER = -(1 << 61)
FOREVER = 1 << 50

# A key is (cycle << RULE_BITS) | (RULE_MAX - rule): the largest key is the latest bound and, of equal bounds, the rule that
# comes first. Last issue times are kept as keys with zero low bits, gaps as keys of (gap, rule), so their sum is a bound.
RULE_BITS = 10
RULE_MAX = (1 << RULE_BITS) - 1

N_LEVELS = 5  # bank, bank group, rank, pseudo-channel, channel
CHANNEL = 4

# scalars of a timing table
S_COMMANDS = 0
S_BANKS = 1
S_BUS_KEY = 2  # key of (cycles between any two commands, rule); 0 where row and column commands have buses of their own
S_REFRESH_INTERVAL = 3  # 0: no refresh
S_REFRESH_LIMIT = 4  # refreshes that may be outstanding
S_REFRESH_COMMAND = 5
S_REFRESH_UNITS = 6  # refresh commands of one round over all banks
S_ACT = 7
S_CLOSE = 8  # closes the banks that a refresh needs, addressed by the same unit
S_ACT_ALL = 9  # opens a row in all banks; -1: the standard has none
S_RING = 10  # activations remembered for windows, in each ring
S_RING_SHIFT = 11  # bank index >> this is its ring
S_RINGS = 12
S_RING_POS = 13  # offset in the state of the next slot of each ring
S_MAX_GAP = 14  # largest gap of any rule
S_LAST = 15  # offset in the state of the last issue times of the channel
S_STATE_SIZE = 16
S_SCRATCH = 17  # offset in the state of room for one number a bank
S_REFRESH_GAP = 18  # largest gap from one refresh to the next
S_STRIDE = 19  # banks from one bank of a stripe to the next: banks of a group
S_RANKS = 20  # ranks of a pseudo-channel
S_ROUND_KEY = 21  # key of the gap before a refresh that begins a new round, 0: none
S_ROUND_LEVEL = 22  # level of which that is the first bank
S_SHIFT = 23  # bank index >> shift is its instance, for each level
S_BASE = 28  # offset in the state of the last issue times of each level's instances; -1: folded into the next level
S_NARROW = 33  # levels from here to the channel are folded into it
N_SCALARS = 34

# fields of one command
C_FOOTPRINT = 0  # level
C_ROW = 1
C_WEIGHT = 2  # bank activations that windows count
C_RUN_GAP = 3  # cycles between two commands of a run
C_RUN_RULE = 4
C_TICKS = 5  # length on the command bus
C_STRIPE = 6  # 1: touches one bank of each group of a rank
C_RARE = 7  # 1: it is a stripe, has predecessors in other ranks, or is a refresh that begins rounds
C_HELD = 8  # 1: a refresh of any bank holds it back for a refresh interval or longer
C_SIBLING = 9  # begin and end of its predecessors in other ranks
C_PRED = 11  # begin and end of its predecessors, for each level
N_COMMAND_FIELDS = 21

ROW_NONE = 0
ROW_OPEN = 1
ROW_CLOSE = 2
ROW_ACCESS = 3
ROW_ACCESS_CLOSE = 4
ROW_REFRESH = 5
ROW_IDLE = 6

# state of one channel
T_LAST_ISSUE = 0  # as a key
T_REFRESHED = 1  # refreshes issued
T_OPEN_BANKS = 2
T_ALL_ROW = 3  # the row open in every bank, -1: all are closed, ROWS_DIFFER: see T_ROWS
T_OPEN_SINCE = 4  # cycle since which some bank is open
T_STREAM_POS = 5  # next row of the stream
T_RUN_POS = 6  # commands of that row's run already issued
T_LAST_NARROW = 7  # latest issue, as a key, of a command that touches fewer than all banks
T_LAST_COMMAND = 8  # latest issue, as a key, of a command that is no refresh
T_ROWS = 9  # open row of each bank (-1 closed), activation rings, their positions, last issue times

ROWS_DIFFER = -2

# result of one call, for one channel; then one wait counter a rule
R_STATUS = 0
R_START = 1  # cycle of the first command of the stream issued in this call (no refresh), FOREVER if none
R_END = 2  # cycle of the last, NEVER if none
R_ACTIVE = 3  # cycles with a bank open, of intervals that ended in this call
R_MACS = 4
R_FORCED = 5  # forced refreshes
R_LOGGED = 6
R_WAIT_ORDER = 7  # cycles booked under BINDING_ORDER,
R_WAIT_DUE = 8  # under BINDING_REFRESH_DUE,
R_WAIT_HOST = 9  # under BINDING_HOST,
R_WAIT_START = 10  # and under BINDING_START; in this order, so that N_RESULT + binding is the slot of any binding
N_RESULT = 11

# one step of all channels: minimum, maximum or sum over them
P_START = 0
P_END = 1
P_STATUS = 2
P_ACTIVE = 3
P_MACS = 4
P_FORCED = 5
P_SIMULATED = 6  # channels simulated, not copied
N_STEP = 7

OK = 0
ILLEGAL_ROW = 1
STOPPED_AT_HORIZON = 2
LOG_FULL = 3
