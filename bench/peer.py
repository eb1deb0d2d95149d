"""Does with DuckDB or Polars what asof does. The question comes on standard input as JSON; the answer goes to standard output: the
seconds of the work alone, without starting and importing."""

import contextlib
import json
import os
import sys
import time


def duckdb_connection():
    """Every setting that makes DuckDB quicker here: as many threads as processors, and no more order than a query asks for."""
    import duckdb

    db = duckdb.connect()
    db.execute("SET enable_progress_bar = false")  # it goes to standard output
    db.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    db.execute("SET preserve_insertion_order = false")
    return db


def files(paths):
    return "read_parquet([" + ", ".join(f"'{p}'" for p in paths) + "])"


def make_way(path):
    """Removes what an earlier turn has made, and waits until nothing is on its way to the disk, as makeWay does (bench/measure.go)."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    os.sync()


def copy(q, query):
    """Times a query whose result goes to a file, of the codec that asof has."""
    db = duckdb_connection()
    make_way(q["Out"])
    start = time.monotonic()
    db.execute(f"COPY ({query}) TO '{q['Out']}' (FORMAT parquet, COMPRESSION snappy)")
    return {"Seconds": time.monotonic() - start}


def duckdb_asof(q):
    columns, joins = "", ""
    for i, h in enumerate(q["History"]):
        columns += "".join(f", h{i}.{f}" for f in h["Features"])
        history = files(h["Files"])
        if q["Few"]:
            keys = ", ".join(q["Keys"])
            history = f"(SELECT * FROM {history} WHERE ({keys}) IN (SELECT ({keys}) FROM read_parquet('{q['Spine']}')))"
        on = " AND ".join(f"s.{k} = h{i}.{k}" for k in q["Keys"])
        joins += f" ASOF LEFT JOIN {history} h{i} ON {on} AND s.event_timestamp >= h{i}.event_time"
    return copy(q, f"SELECT s.*{columns} FROM read_parquet('{q['Spine']}') s {joins}")


def duckdb_sort(q):
    keys = ", ".join(q["Keys"])
    return copy(q, f"SELECT * FROM read_parquet('{q['Source']}') ORDER BY {keys}, event_time")


HOUR = 3600 * 1_000_000
DAY = 24 * HOUR


def duckdb_tiles(q):
    """Tiles of an hour, which end with it, as asof calls them."""
    end = f"make_timestamptz((epoch_us(event_time) + {HOUR - 1}) // {HOUR} * {HOUR})"
    return copy(q, f"""
        SELECT customer_id, {end} AS event_time, max(amount) AS amount__max, sum(amount) AS amount__sum, count(*) AS rows__count
        FROM read_parquet('{q["Source"]}') GROUP BY ALL ORDER BY customer_id, event_time""")


def tiles(q):
    """What windows are over: the events, or the tiles that asof has made of them."""
    if q["Source"]:
        return f"(SELECT customer_id, event_time, 1 AS rows__count, amount AS amount__sum, amount AS amount__max FROM read_parquet('{q['Source']}'))"
    return files(q["History"][0]["Files"])


def duckdb_windows_range(q):
    """RANGE windows over the union of spine and tiles."""
    values, frames = [], []
    for d in q["Days"]:
        values.append(f"""CAST(coalesce(sum(n) OVER w{d}, 0) AS BIGINT) AS count_{d}d,
            sum(amount) OVER w{d} AS amount_sum_{d}d, max(top) OVER w{d} AS amount_max_{d}d""")
        frames.append(f"w{d} AS (PARTITION BY customer_id ORDER BY us RANGE BETWEEN {d * DAY - 1} PRECEDING AND CURRENT ROW)")
    return copy(q, f"""
        SELECT "row", customer_id, make_timestamptz(us) AS event_timestamp, label, {", ".join(values)}
        FROM (
            SELECT "row", customer_id, epoch_us(event_timestamp) AS us, label, NULL AS n, NULL AS amount, NULL AS top FROM read_parquet('{q["Spine"]}')
            UNION ALL
            SELECT NULL, customer_id, epoch_us(event_time), NULL, rows__count, amount__sum, amount__max FROM {tiles(q)}
        )
        WINDOW {", ".join(frames)}
        QUALIFY "row" IS NOT NULL""")


def duckdb_windows_join(q):
    """One range join with the longest window."""
    values = []
    for d in q["Days"]:
        inside = f"FILTER (h.us > s.us - {d * DAY})"
        values.append(f"""CAST(coalesce(sum(h.n) {inside}, 0) AS BIGINT) AS count_{d}d,
            sum(h.amount) {inside} AS amount_sum_{d}d, max(h.top) {inside} AS amount_max_{d}d""")
    return copy(q, f"""
        SELECT s."row", any_value(s.customer_id) AS customer_id, make_timestamptz(any_value(s.us)) AS event_timestamp,
            any_value(s.label) AS label, {", ".join(values)}
        FROM (SELECT *, epoch_us(event_timestamp) AS us FROM read_parquet('{q["Spine"]}')) s
        LEFT JOIN (SELECT customer_id, epoch_us(event_time) AS us, rows__count AS n, amount__sum AS amount, amount__max AS top
            FROM {tiles(q)}) h
        ON s.customer_id = h.customer_id AND h.us <= s.us AND h.us > s.us - {max(q["Days"]) * DAY}
        GROUP BY s."row" """)


def polars_asof(q):
    import polars

    spine = polars.scan_parquet(q["Spine"]).sort("event_timestamp")
    for h in q["History"]:
        history = polars.scan_parquet(h["Files"]).select(*q["Keys"], "event_time", *h["Features"])
        # It is sorted within each key, which is what the join needs and cannot see.
        spine = spine.join_asof(history, left_on="event_timestamp", right_on="event_time", by=q["Keys"], check_sortedness=False, coalesce=False)
        spine = spine.drop("event_time")
    return sink(q, spine)


def polars_sort(q):
    import polars

    return sink(q, polars.scan_parquet(q["Source"]).sort(*q["Keys"], "event_time"))


def sink(q, frame):
    make_way(q["Out"])
    start = time.monotonic()
    frame.sink_parquet(q["Out"], compression="snappy")
    return {"Seconds": time.monotonic() - start}


def duckdb_compare(q):
    """Says how many rows of two training sets, told apart by their numbers, or of two sorted tables, differ."""
    db = duckdb_connection()
    differ = " OR ".join(f"o.{c} IS DISTINCT FROM p.{c}" for c in q["Columns"])
    if q["Order"]:
        # In the order in which they lie there.
        db.execute("SET preserve_insertion_order = true")
        rows = db.execute(f"SELECT count(*) FROM {files(q['Order'])} o POSITIONAL JOIN read_parquet('{q['Out']}') p WHERE {differ}").fetchone()[0]
    else:
        rows = db.execute(f"""
            SELECT count(*)
            FROM read_parquet('{q["Ours"]}', file_row_number = true) o FULL JOIN read_parquet('{q["Out"]}') p ON o."row" = p."row"
            WHERE o."row" IS NULL OR p."row" IS NULL OR o."row" <> o.file_row_number OR {differ}""").fetchone()[0]
    return {"Unequal": f"{rows} rows" if rows else ""}


def main():
    q = json.loads(sys.stdin.readline())
    print(json.dumps(globals()[q["Peer"].lower() + "_" + q["Do"]](q)))


main()
