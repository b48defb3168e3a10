"""A Ray cluster of two machines (raylets of one computer) that loses workers and then a machine while it fills a table: nothing is lost or doubled.

The cluster runs in a process of its own: Ray keeps threads and signal handlers that this one shall not inherit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pyarrow", reason="tables of faces need the extra parquet")
pytest.importorskip("ray", reason="needs the extra ray")

from faceworks.batch import tables
from faceworks.pipeline import PipelineSpec
from unit.batch_toys import ToyRows

CLUSTER = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from faceworks.batch import map_images, tables
from faceworks.errors import FaceworksError
from faceworks.pipeline import PipelineSpec
from unit.batch_toys import MortalRows, ToyRows, load_or_die, same

if __name__ == "__main__":
    machine = {"num_cpus": 1, "object_store_memory": 80 << 20}
    beats = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}  # three seconds: less, and a busy computer takes the living for dead
    cluster = Cluster(initialize_head=True, head_node_args={**machine, "include_dashboard": False, "_system_config": beats})
    second = cluster.add_node(**machine)
    cluster.wait_for_nodes()
    folder, script = Path(sys.argv[1]), sys.argv[2]
    try:
        exec(script)
    finally:
        ray.shutdown()
        cluster.shutdown()
"""
KILLS = """
add, seen, fall = tables._Table.add, 0, {fall}
def counting(self, *item):
    global seen
    seen += 1
    if seen == fall:
        cluster.remove_node(second, allow_graceful=False)  # SIGKILL of its raylet, and so of its workers
    return add(self, *item)
tables._Table.add, tables.SHARD_PICTURES = counting, {shard}
task = MortalRows(PipelineSpec(), "detect", delay={delay}, deadly={deadly}, marks=str(folder))
done = tables.write_table(task, sorted((folder / "in").glob("*.png")), folder / "t.parquet", executor="ray", batch_size=4, address=cluster.address)
assert done.pictures == {count} and done.errors == 1, done
assert seen > fall, seen
"""


def on_cluster(folder, script, timeout=540):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_METRICS_COLLECTION": "1"}
    run = subprocess.run([sys.executable, "-c", CLUSTER, str(folder), script], env=environment, capture_output=True, text=True, timeout=timeout)
    assert run.returncode == 0, run.stderr[-4000:]
    return run


def made(tmp_path, count):
    (tmp_path / "in").mkdir()
    for number in range(count):
        Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(tmp_path / "in" / f"{number:05d}.png")
    (tmp_path / "in" / "00005.png").write_bytes(b"no picture")
    return tmp_path


def check(folder, count, deadly):
    """The table holds what a serial run writes, and the deaths did happen."""
    pictures = sorted((folder / "in").glob("*.png"))
    tables.write_table(ToyRows(PipelineSpec(), "detect"), pictures, folder / "s.parquet", executor="serial")
    found, expected = (list(tables.read_rows(folder / name)) for name in ("t.parquet", "s.parquet"))
    assert found == expected
    assert len({row["source"] for row in found}) == count
    assert sorted(path.name for path in folder.glob("died-*")) == sorted(f"died-{number}" for number in deadly)


def test_a_killed_worker_and_a_killed_machine_lose_nothing(tmp_path):
    """The worker dies by SIGKILL amid its block, the machine at a quarter of the table; afterwards a picture that kills every worker ends its run."""
    folder = made(tmp_path, 120)
    poisoned = """
try:
    list(map_images(same, ["die"], "ray", load=load_or_die, address=cluster.address))
except FaceworksError as error:
    assert "crashes its worker" in str(error), error
else:
    raise AssertionError("a picture that kills its worker has no result")
"""
    on_cluster(folder, KILLS.format(fall=30, shard=10, delay=0.02, deadly=[11, 61], count=120) + poisoned)
    check(folder, 120, [11, 61])


@pytest.mark.slow
def test_twenty_times_as_many(tmp_path):
    folder = made(tmp_path, 2400)
    deadly = [11, 50, 80, 111, 150, 200, 251]
    on_cluster(folder, KILLS.format(fall=800, shard=100, delay=0.005, deadly=deadly, count=2400))
    check(folder, 2400, deadly)


@pytest.mark.slow
def test_results_beyond_the_object_store_while_a_machine_is_lost(tmp_path):
    """400 MB of results through stores of 80 MB, the consumer held back by order, half of the cluster gone: it must go on. (An actor pool stood still here.)"""
    script = """
from unit.batch_toys import large
for item in map_images(large, range(2000), "ray", batch_size=4, load=same, address=cluster.address):
    assert item.error is None and item.result[0] == item.index % 251 and len(item.result) == 200_000
    if item.index == 100:
        cluster.remove_node(second, allow_graceful=False)
assert item.index == 1999
"""
    on_cluster(tmp_path, script)


@pytest.mark.slow
@pytest.mark.assets
def test_the_command_on_a_running_cluster(tmp_path, group):
    """`faceworks batch detect --executor ray --address auto`, twice: the second run finds everything done."""
    (tmp_path / "in").mkdir()
    picture = np.array(Image.open(group).convert("RGB"))
    for number in range(40):
        part = picture[100 + 10 * number :][:300, 5 * number :][:, :400]
        Image.fromarray(part).save(tmp_path / "in" / f"{number:02d}.png")
    command = [sys.executable, "-m", "faceworks", "batch", "detect", str(tmp_path / "in"), "--out", str(tmp_path / "t.parquet"), "--json"]
    on_cluster(tmp_path, f"""
import json, os, subprocess
os.environ["RAY_ADDRESS"] = cluster.address
command = {[*command, "--executor", "ray", "--address", "auto"]!r}
for resumed in (0, 40):
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["pictures"], said["resumed"]) == (40 - resumed, resumed), said
""")  # fmt: skip
    subprocess.run([*command[:-3], "--out", str(tmp_path / "s.parquet"), "--executor", "serial"], check=True, capture_output=True)
    found, expected = (list(tables.read_rows(tmp_path / name)) for name in ("t.parquet", "s.parquet"))
    assert [(Path(row["source"]).name, row["face"], row["box"]) for row in found] == [
        (Path(row["source"]).name, row["face"], row["box"]) for row in expected
    ]
