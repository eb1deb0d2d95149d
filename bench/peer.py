"""Joins with DuckDB's ASOF JOIN, makes windows, sorts, groups, or compares two results. The task comes on standard input as JSON; the answer
goes to standard output: the seconds of the query alone, and a count of rows."""

import json
import sys
import time

import duckdb

FEATURES = ["f0", "f1", "f2", "f3"]


def join(db, task):
    columns = ", ".join("h." + f for f in FEATURES)
    query = f"""
        COPY (
            SELECT s.*, {columns}
            FROM read_parquet($spine) s ASOF LEFT JOIN read_parquet($history) h
            ON s.customer_id = h.customer_id AND s.event_timestamp >= h.event_time
        ) TO '{task["Out"]}' (FORMAT parquet, COMPRESSION snappy)"""
    start = time.monotonic()
    db.execute(query, {"spine": task["Spine"], "history": task["History"]})
    seconds = time.monotonic() - start
    rows = db.execute("SELECT count(*) FROM read_parquet($out)", {"out": task["Out"]}).fetchone()[0]
    return {"Seconds": seconds, "Count": rows}


DAY = 24 * 3600 * 1_000_000


def tiles(task):
    """What the windows are over: the tiles of the offline store, or the events that they were made of."""
    if task["Events"]:
        return "(SELECT customer_id, event_time, 1 AS rows__count, amount AS amount__sum, amount AS amount__max FROM read_parquet($history))"
    return "read_parquet($history)"


def windows_range(db, task):
    """RANGE windows over the union of spine and tiles."""
    values, frames = [], []
    for d in task["Days"]:
        values.append(f"""CAST(coalesce(sum(n) OVER w{d}, 0) AS BIGINT) AS count_{d}d,
            sum(amount) OVER w{d} AS amount_sum_{d}d, max(top) OVER w{d} AS amount_max_{d}d""")
        frames.append(f"w{d} AS (PARTITION BY customer_id ORDER BY us RANGE BETWEEN {d * DAY - 1} PRECEDING AND CURRENT ROW)")
    return timed(db, task, f"""
        SELECT "row", customer_id, make_timestamptz(us) AS event_timestamp, label, {", ".join(values)}
        FROM (
            SELECT "row", customer_id, epoch_us(event_timestamp) AS us, label, NULL AS n, NULL AS amount, NULL AS top FROM read_parquet($spine)
            UNION ALL
            SELECT NULL, customer_id, epoch_us(event_time), NULL, rows__count, amount__sum, amount__max FROM {tiles(task)}
        )
        WINDOW {", ".join(frames)}
        QUALIFY "row" IS NOT NULL""")


def windows_join(db, task):
    """One range join with the longest window."""
    values = []
    for d in task["Days"]:
        inside = f"FILTER (h.us > s.us - {d * DAY})"
        values.append(f"""CAST(coalesce(sum(h.n) {inside}, 0) AS BIGINT) AS count_{d}d,
            sum(h.amount) {inside} AS amount_sum_{d}d, max(h.top) {inside} AS amount_max_{d}d""")
    return timed(db, task, f"""
        SELECT s."row", any_value(s.customer_id) AS customer_id, make_timestamptz(any_value(s.us)) AS event_timestamp,
            any_value(s.label) AS label, {", ".join(values)}
        FROM (SELECT *, epoch_us(event_timestamp) AS us FROM read_parquet($spine)) s
        LEFT JOIN (SELECT customer_id, epoch_us(event_time) AS us, rows__count AS n, amount__sum AS amount, amount__max AS top
            FROM {tiles(task)}) h
        ON s.customer_id = h.customer_id AND h.us <= s.us AND h.us > s.us - {max(task["Days"]) * DAY}
        GROUP BY s."row" """)


def timed(db, task, query):
    start = time.monotonic()
    db.execute(f"COPY ({query}) TO '{task['Out']}' (FORMAT parquet, COMPRESSION snappy)", {"spine": task["Spine"], "history": task["History"]})
    seconds = time.monotonic() - start
    rows = db.execute("SELECT count(*) FROM read_parquet($out)", {"out": task["Out"]}).fetchone()[0]
    return {"Seconds": seconds, "Count": rows}


def compare(db, task):
    """Counts the rows that are not in both, or that do not lie in ours where the spine has them."""
    differ = " OR ".join(f"o.{c} IS DISTINCT FROM p.{c}" for c in ["customer_id", "event_timestamp", "label"] + task["Columns"])
    query = f"""
        SELECT count(*)
        FROM read_parquet($ours, file_row_number = true) o FULL JOIN read_parquet($peer) p ON o."row" = p."row"
        WHERE o."row" IS NULL OR p."row" IS NULL OR o."row" <> o.file_row_number OR {differ}"""
    rows = db.execute(query, {"ours": task["Ours"], "peer": task["Out"]}).fetchone()[0]
    return {"Seconds": 1, "Count": rows}


def sort(db, task):
    """The rows in the order of key and time."""
    return sorted_to(db, task, "SELECT * FROM read_parquet($source) ORDER BY customer_id, event_time")


def group(db, task):
    """Tiles of an hour, which include the later end, in the order of key and time."""
    hour = 3600 * 1_000_000
    return sorted_to(db, task, f"""
        SELECT customer_id, make_timestamptz(((epoch_us(event_time) - 1) // {hour} + 1) * {hour}) AS event_time,
            count(*) AS n, sum(amount) AS amount, max(amount) AS top
        FROM read_parquet($source) GROUP BY 1, 2 ORDER BY 1, 2""")


def sorted_to(db, task, query):
    start = time.monotonic()
    db.execute(f"COPY ({query}) TO '{task['Out']}' (FORMAT parquet, COMPRESSION snappy)", {"source": task["Spine"]})
    seconds = time.monotonic() - start
    rows = db.execute("SELECT count(*) FROM read_parquet($out)", {"out": task["Out"]}).fetchone()[0]
    return {"Seconds": seconds, "Count": rows}


def compare_sort(db, task):
    return side_by_side(db, task, " OR ".join(f"o.{f} IS DISTINCT FROM p.{f}" for f in FEATURES))


def compare_group(db, task):
    """Sums of the peer's are rounded as it goes, in any order."""
    return side_by_side(db, task, "o.rows__count IS DISTINCT FROM p.n OR abs(o.amount__sum - p.amount) > 1e-9 * abs(p.amount) OR o.amount__max IS DISTINCT FROM p.top")


def side_by_side(db, task, differ):
    """Counts the rows that differ from the one in the same place."""
    query = f"""
        SELECT count(*) FROM read_parquet($ours) o POSITIONAL JOIN read_parquet($peer) p
        WHERE o.customer_id IS DISTINCT FROM p.customer_id OR epoch_us(o.event_time) IS DISTINCT FROM epoch_us(p.event_time) OR {differ}"""
    rows = db.execute(query, {"ours": task["History"], "peer": task["Out"]}).fetchone()[0]
    return {"Seconds": 1, "Count": rows}


def main():
    task = json.load(sys.stdin)
    db = duckdb.connect()
    db.execute("SET enable_progress_bar = false")  # it goes to standard output
    do = {"join": join, "compare": compare, "windows-range": windows_range, "windows-join": windows_join,
          "sort": sort, "group": group, "compare-sort": compare_sort, "compare-group": compare_group}
    answer = do[task["Do"]](db, task)
    print(json.dumps(answer))


main()
