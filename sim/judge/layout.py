"""Positions in the integer arrays of the judge. What each means is written in :mod:`.tables` and :mod:`.kernel`."""

NEVER = -(2**62)
"""A time at which nothing happened; as a row: the bank is closed."""
FOREVER = 2**62

# scalars
(
    S_F, S_PS, S_A, S_B,  # edge t is (t // F) * PS + (t % F) * A + ceil((t % F) * B / F) ps
    S_BURST, S_BUBBLE, S_RANK_SHIFT, S_PSEUDO_SHIFT, S_RANKS,
    S_TRAS, S_TRTP, S_TWR, S_TRC,
    S_R_STATE, S_R_TRAS, S_R_TRTP, S_R_TWR, S_R_TRC, S_R_BUS, S_R_TRTRS, S_R_ROUND, S_R_POWER, S_R_EARLY, S_R_ORDER, S_R_DEBT,
    S_ARRAY_SHIFT, S_ARRAY_BANKS, S_TRFCPB, S_POWER_SHIFT, S_HAS_POWER,
    S_REFRESHES, S_ORDER, S_INTERVAL, S_MOST, S_AHEAD, S_REFRESH_UNITS,
    N_SCALARS,
) = range(37)  # fmt: skip

# fields of a command
(
    C_ROW, C_STRIPE, C_SIZE, C_GROUP, C_RANK, C_BANKS, C_ACCEPT, C_DATA, C_LATENCY, C_BUS, C_SENSES, C_STORES,
    C_AFTER_ACT, C_R_AFTER_ACT, C_PRECHARGE, C_R_PRECHARGE, C_R_AUTO, C_R_AUTO_2, C_R_AUTO_3,
    C_WEIGHT, C_UPKEEP, C_POWER, C_REFRESH, C_COVERS,
    C_WAIT_LO, C_WAIT_HI, C_MARK_LO, C_MARK_HI,
    N_COMMAND,
) = range(29)  # fmt: skip

ROW_NONE, ROW_OPEN, ROW_CLOSE, ROW_ACCESS, ROW_AUTO, ROW_REST = range(6)
STORES_END, STORES_START = 1, 2
UPKEEP_NONE, UPKEEP_BANK, UPKEEP_ALL, UPKEEP_MANAGE = range(4)
POWER_NONE, POWER_DOWN, POWER_UP, POWER_SLEEP, POWER_WAKE = range(5)

# one wait (what a command waits for) and one mark (what it leaves behind)
W_SHIFT, W_BASE, W_GAP, W_RULE, W_TARGET, W_OTHERS, N_WAIT = range(7)
M_SHIFT, M_BASE, M_ORIGIN, N_MARK = range(4)
# one activation window
V_BANKS, V_GAP, V_RULE, N_WINDOW = range(4)

# the event at hand; instants stand at E_FIRST + Point
(
    E_INDEX, E_CYCLE, E_CMD, E_UNIT, E_ROW, E_FIRST, E_ACCEPT, E_START, E_END, E_BANK, E_STEP, E_LAST, E_WHO, N_EVENT
) = range(14)  # fmt: skip
P_FIRST, P_ACCEPT, P_START, P_END = range(4)

# a remembered command: a time, who it was (index, command and unit in one number), its tick in the log
T_TIME, T_WHO, T_TICK, N_TRACE = range(4)
# one power unit: what took it into its state (0: it is awake), the trace of that, and whether it sleeps
U_STATE, U_WHO, U_TICK, U_ASLEEP, N_UNIT = range(5)
WHO_INDEX, WHO_COMMAND, WHO_UNIT = 24, 16, 0  # shifts
# one bank: row, then traces of the activation, of the three holds and of the precharge, and the rule of the latter
B_ROW, B_OPENED, B_HOLD, B_CLOSED, B_RULE, N_BANK = 0, 1, 4, 13, 16, 17
HOLDS = 3
# one burst on the bus, and the latest end of it and all before
Q_END, Q_RANK, Q_WHO, Q_TICK, Q_LATEST, N_BURST = range(6)
# one refresh round: its number, banks done in it, and the trace of its last refresh
D_NUMBER, D_COUNT, D_LAST, N_ROUND = 0, 1, 2, 5

# state that is one number; the unpaid precharge is a whole finding
(
    X_INDEX, X_DONE, X_ASLEEP, X_ALL_SLEPT, X_OWING, X_REOPENING, X_OLDEST, X_UNPAID, X_FOUND, X_BROKEN, N_STATE
) = range(11)  # fmt: skip

# a finding
F_INDEX, F_RULE, F_EARLY, F_COMMAND, F_UNIT, F_CYCLE, F_WHO, F_TICK, F_FAULT, F_A, F_B, F_C, N_FINDING = range(13)
(
    FAULT_NONE, FAULT_OPEN, FAULT_CLOSED, FAULT_OTHER_ROW, FAULT_DOWN, FAULT_ASLEEP, FAULT_AWAKE, FAULT_TURN, FAULT_OWED,
    FAULT_OWED_BY,
) = range(10)  # fmt: skip
