"""Joins with DuckDB's ASOF JOIN, or compares two training sets. The task comes on standard input as JSON; the answer
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


def compare(db, task):
    """Counts the rows that are not in both, or that do not lie in ours where the spine has them."""
    differ = " OR ".join(f"o.{c} IS DISTINCT FROM p.{c}" for c in ["customer_id", "event_timestamp", "label"] + FEATURES)
    query = f"""
        SELECT count(*)
        FROM read_parquet($ours, file_row_number = true) o FULL JOIN read_parquet($peer) p ON o."row" = p."row"
        WHERE o."row" IS NULL OR p."row" IS NULL OR o."row" <> o.file_row_number OR {differ}"""
    rows = db.execute(query, {"ours": task["Ours"], "peer": task["Out"]}).fetchone()[0]
    return {"Seconds": 1, "Count": rows}


def main():
    task = json.load(sys.stdin)
    db = duckdb.connect()
    db.execute("SET enable_progress_bar = false")  # it goes to standard output
    answer = {"join": join, "compare": compare}[task["Do"]](db, task)
    print(json.dumps(answer))


main()
