"""What a writer's record says: the outage around a fault, and the rows that were acknowledged and are gone.

Times are CLOCK_MONOTONIC, as time.monotonic() gives it; the record counts microseconds.
"""
from scene import Failure


def read(path):
    """Rows (seq, time_us, server, status) of a record; a half-written last line is left out."""
    rows = []
    with open(path) as f:
        for line in f:
            if line.endswith("\n"):
                seq, time_us, server, status = line.split()
                rows.append((int(seq), int(time_us), server, status))
    return rows


def acknowledged(rows):
    return [row for row in rows if row[3] == "ack"]


def longest_gap_ms(rows, since_us=0):
    """Longest gap between two acknowledgements that ends after 'since_us'. The time behind the last one counts only by
    what came later in the record (an attempt that failed), so that a writer that never got through again shows it."""
    acks = acknowledged(rows)
    if not acks:
        raise Failure("the writer's record has no acknowledged row")
    gap_us = max((b[1] - a[1] for a, b in zip(acks, acks[1:]) if b[1] >= since_us), default=0)
    return max(gap_us, rows[-1][1] - acks[-1][1]) / 1000


def counts_around(rows, fault_us):
    acks = acknowledged(rows)
    before = sum(1 for row in acks if row[1] < fault_us)
    return before, len(acks) - before


def lost(rows, server, account, password, table):
    """Sequence numbers acknowledged to the writer and missing on 'server', read by a fresh connection."""
    session = server.connect(account, password, tcp=True, timeout=20)
    try:
        with session.cursor() as cursor:
            cursor.execute(f"SELECT seq FROM {table}")
            present = {row["seq"] for row in cursor.fetchall()}
    finally:
        session.close()
    return sorted(row[0] for row in acknowledged(rows) if row[0] not in present)
