"""The protocol between run.py and every client, for the clients in Python.

Arguments: token URL, API URL, client id, client secret. A client prints `ready ` and its versions once it is set up. For each
line `CALLS GAP_MS TIMEOUT_MS URL` on its input it makes this many GET requests, with this gap between their starts and this
timeout (0: none). It prints one line of `OUTCOME:MS`: a status, `timeout` or `error`, and the time from the caller's start to
its result.
"""

import sys
import threading
import time


def commands():
    for line in sys.stdin:
        calls, gap, timeout, url = line.split()
        yield int(calls), int(gap) / 1000, int(timeout) / 1000 or None, url


def serve_with_threads(call):
    """For clients that block: a thread for each caller. `call(url, timeout)` returns the outcome."""
    for calls, gap, timeout, url in commands():
        begin, outcomes = time.monotonic(), [""] * calls

        def caller(number):
            start = begin + number * gap
            time.sleep(max(0, start - time.monotonic()))
            start = time.monotonic()
            outcome = call(url, timeout)
            outcomes[number] = f"{outcome}:{1000 * (time.monotonic() - start):.0f}"

        threads = [threading.Thread(target=caller, args=(number,)) for number in range(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(*outcomes, flush=True)
