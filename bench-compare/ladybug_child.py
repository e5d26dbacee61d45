"""Ladybug in this process: `ladybug_child.py write|load DIRECTORY`, run by `bench-compare/run` in its venv.

`write` makes the Parquet files, `load` reads them with COPY, the quickest way its documentation gives.
Two processes, so that nothing of the first is counted in the second. On disk,
where it compresses; in memory it takes half as much again.
"""

import json
import os
import sys
import time
import warnings

import standard


def write(directory):
    import pyarrow
    import pyarrow.parquet

    graph = standard.Graph(directory)
    file = None
    for batch in graph.substrates(100_000):
        numbers = [i for i, _ in batch]
        times = pyarrow.array([standard.FIRST_TIME_US + i for i in numbers], pyarrow.int64())
        columns = {
            "id": pyarrow.array([standard.signed(identity) for _, identity in batch], pyarrow.int64()),
            "type": ["lambda"] * len(batch),
            "code": [standard.code(i) for i in numbers],
            "name": [standard.name(i) for i in numbers],
            "description": [standard.description(i) for i in numbers],
            "created_at": times,
            "updated_at": times,
            "version": pyarrow.array([1] * len(batch), pyarrow.int64()),
        }
        table = pyarrow.table(columns)
        path = os.path.join(directory, "substrates.parquet")
        file = file or pyarrow.parquet.ParquetWriter(path, table.schema)
        file.write_table(table)
    file.close()
    file = None
    for now, batch in graph.relationships(500_000):
        batch = list(batch)
        columns = {
            "from": pyarrow.array([standard.signed(graph.ids[s]) for s, _, _ in batch], pyarrow.int64()),
            "to": pyarrow.array([standard.signed(graph.ids[t]) for _, t, _ in batch], pyarrow.int64()),
            "id": pyarrow.array([standard.signed(identity) for _, _, identity in batch], pyarrow.int64()),
            "created_at": pyarrow.array(range(now, now + len(batch)), pyarrow.int64()),
        }
        table = pyarrow.table(columns)
        path = os.path.join(directory, "relationships.parquet")
        file = file or pyarrow.parquet.ParquetWriter(path, table.schema)
        file.write_table(table)
    file.close()


def load(directory):
    import ladybug

    warnings.simplefilter("ignore")  # about preparing by hand, which is the quicker way here
    connection = ladybug.Connection(ladybug.Database(os.path.join(directory, "ladybug")))
    connection.execute(
        "CREATE NODE TABLE Substrate(id INT64 PRIMARY KEY, type STRING, code STRING, name STRING, "
        "description STRING, created_at INT64, updated_at INT64, version INT64)"
    )
    connection.execute("CREATE REL TABLE DEPENDENCY(FROM Substrate TO Substrate, id INT64, created_at INT64)")
    rss, seconds = [standard.resident_at_rest("self")], []
    for table, file in (("Substrate", "substrates"), ("DEPENDENCY", "relationships")):
        path = os.path.join(directory, f"{file}.parquet")
        begun = time.perf_counter()
        connection.execute(f'COPY {table} FROM "{path}"')
        seconds.append(time.perf_counter() - begun)
        rss.append(standard.resident_at_rest("self"))

    graph = standard.Graph(directory)
    asked = [standard.signed(graph.ids[i]) for i in graph.queries]
    query = connection.prepare(
        "MATCH (s:Substrate {id: $id})-[r:DEPENDENCY]->(t:Substrate) RETURN r.id, t.id, r.created_at"
    )
    for one in asked[: len(asked) // 10]:
        connection.execute(query, {"id": one}).get_all()
    count = identities = targets = 0
    latencies = []
    for one in asked:
        begun = time.perf_counter_ns()
        rows = connection.execute(query, {"id": one}).get_all()
        latencies.append(time.perf_counter_ns() - begun)
        for identity, target, _ in rows:
            count += 1
            identities ^= identity % (1 << 64)
            targets ^= target % (1 << 64)
    latencies.sort()
    report = {
        "version": ladybug.__version__,
        "resident": rss,
        "seconds": seconds,
        "median_ns": latencies[len(latencies) // 2],
        "p99_ns": latencies[round((len(latencies) - 1) * 0.99)],
        "found": [count, identities, targets],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    {"write": write, "load": load}[sys.argv[1]](sys.argv[2])
