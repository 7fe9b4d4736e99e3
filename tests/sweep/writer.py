"""A sweep in small, for the crash tests: claims trials of a plan, works them out, keeps them, and says which are kept.

``writer.py STUDY TRIALS [BATCH]``; each acknowledged trial is a line on standard output. The functions are what the tests
compare with. SIGINT ends it with 130, an error of the store with its exit code.
"""

import hashlib
import os
import signal
import sys
import time

from rowline.sweeps.store import Record, Store, StoreError


def trial_id(number: int) -> str:
    return hashlib.sha256(f"trial {number}".encode()).hexdigest()


def record(number: int) -> Record:
    """A trial as a function of its number: most complete, some failed, some infeasible."""
    name = trial_id(number)
    params = {"channels": 2 ** (number % 5), "device.timing.tRP": f"{10 + number % 7} ns", "number": number}
    config = {"arch": "pim-gpt", "workload": "gpt2-small", "overrides": params}
    if number % 11 == 5:
        return Record(name, number, params, config, {}, {}, "failed", f"ValueError: no. {number}")
    objectives = {"latency": (number * 37 % 101) / 7, "energy": 1e-3 * number}
    stats = {"ops": [{"op": "gemv", "n": number + i} for i in range(number % 40)]}
    state = "infeasible" if number % 13 == 7 else "complete"
    return Record(name, number, params, config, objectives, stats, state, "latency above limit" if state != "complete" else None,
                  wall_s=time.perf_counter())  # fmt: skip


def table(store: Store) -> str:
    """The whole study as text."""
    return "".join(f"{one.line()}\n" for one in store.records())


def work(target: str, trials: int, batch: int = 3) -> None:
    """Work the plan off, together with whoever else does."""
    with Store.open(target) as store:
        numbers = {trial_id(number): number for number in range(trials)}
        rest, passed = list(numbers), 0
        while rest:
            claim = store.claim(rest[:batch])
            for one in claim.mine:
                time.sleep(0.002)
                store.put(record(numbers[one]))
                os.write(1, f"{numbers[one]}\n".encode())
            rest = [*rest[batch:], *claim.elsewhere]
            passed = 0 if claim.mine else passed + batch
            if passed > len(rest):  # all that is left is in another's hands
                time.sleep(0.01)


if __name__ == "__main__":
    try:
        work(sys.argv[1], int(sys.argv[2]), *(int(text) for text in sys.argv[3:4]))
    except KeyboardInterrupt:
        sys.exit(130)
    except StoreError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the command line does: what is done is done
