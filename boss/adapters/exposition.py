"""What Prometheus reads: the boss's numbers in its text format, by the library prometheus_client and a registry of our own.

Rules:
- Numbers are read when somebody asks, from what the loop has counted and published: asking takes none of the loop's time.
- Names follow Prometheus' conventions; labels are pools, states and outcomes only, so a boss has a few hundred series, whatever it runs.
- Every pool and every state has its series from the start, so that a graph begins at 0 and an alert finds something to compare.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from boss.core.model import TaskState, VmState, WorkerState
from boss.core.view import View
from boss.meters import BOOTS, Histogram, Meters, Standing

JOB_STATES = ("running", "paused", "succeeded", "failed", "cancelled")
OUTCOMES = ("succeeded", "failed", "cancelled", "lost", "recalled")
_WORKERS = tuple(state.value for state in WorkerState if state is not WorkerState.GONE)
_VMS = tuple(state.value for state in VmState if state not in (VmState.GONE, VmState.FAILED))


class Exposition:
    """The text for one scrape. ``waiting`` says how many events and how many listeners there are, ``connections`` how many API clients.

    ``told`` counts notifications by outcome. ``folder`` is where the boss keeps its state.
    """

    def __init__(
        self,
        version: str,
        meters: Meters,
        view: Callable[[], View],
        waiting: Callable[[], tuple[int, int]],
        folder: Path,
    ) -> None:
        self.connections: Callable[[], int] = lambda: 0
        self.told: Callable[[], Mapping[str, int]] = dict
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(self, version, meters, view, waiting, folder))
        ProcessCollector(registry=self._registry)

    def text(self) -> tuple[bytes, str]:
        """The exposition, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Collector(Collector):
    def __init__(
        self,
        exposition: Exposition,
        version: str,
        meters: Meters,
        view: Callable[[], View],
        waiting: Callable[[], tuple[int, int]],
        folder: Path,
    ) -> None:
        self._exposition, self._version, self._folder = exposition, version, folder
        self._meters, self._view, self._waiting = meters, view, waiting

    def describe(self) -> list[Metric]:
        """Nothing is collected to find out what there is."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family of ours."""
        yield from self._house()
        yield from self._work()
        yield from self._fleet(self._meters.standing)
        yield from self._loop()

    def _house(self) -> Iterator[Metric]:
        view, standing = self._view(), self._meters.standing
        build = GaugeMetricFamily("ecloud_build_info", "The boss's version; the value is always 1.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build
        yield _gauge("ecloud_boss_start_time_seconds", "When this life of the boss began, in Unix seconds.", view.started)
        yield _gauge("ecloud_boss_epoch", "How many lives the boss of this cluster has had.", view.epoch)
        yield _gauge("ecloud_broker_connected", "Whether the boss is connected to the broker.", standing.connected)
        yield _gauge("ecloud_datastore_up", "Whether the boss reaches the datastore.", standing.datastore_up)
        yield _gauge("ecloud_datastore_full", "Whether the datastore has no room.", standing.datastore_full)
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:
            return  # what cannot be known is left out
        yield _gauge("ecloud_state_disk_size_bytes", "Size of the disk with the boss's state folder.", disk.total)
        yield _gauge("ecloud_state_disk_free_bytes", "Of that what is free.", disk.free)

    def _work(self) -> Iterator[Metric]:
        meters, view = self._meters, self._view()
        yield _gauges("ecloud_tasks", "Tasks of all jobs, by state.", "state", tuple(TaskState), view.tasks)
        jobs = Counter(job.state for job in view.jobs)
        yield _gauges("ecloud_jobs", "Jobs, by state.", "state", JOB_STATES, jobs)
        yield _counter("ecloud_attempts_dealt", "Attempts that were given to workers.", meters.dealt)
        yield _counters("ecloud_attempts_ended", "Attempts that have ended, by outcome.", "outcome", OUTCOMES, meters.ended)
        yield _counters("ecloud_jobs_finished", "Jobs that have finished, by state.", "state", JOB_STATES[2:], meters.jobs)
        yield _counter("ecloud_stale_messages", "What workers said of attempts that were not current any more.", meters.stale)
        yield _histogram(
            "ecloud_task_wait_seconds", "From the moment that a task could run until its first attempt was started.", meters.waits
        )
        yield _histogram("ecloud_task_run_seconds", "How long attempts ran that succeeded or failed.", meters.runs)
        yield _histogram(
            "ecloud_result_commit_seconds",
            "From the end of an attempt on its worker until its outcome was committed: upload, delivery, acceptance, database.",
            meters.commits,
        )
        yield _counter("ecloud_results_files", "Files of results that were accepted.", meters.accepted_files)
        yield _counter("ecloud_results_bytes", "Bytes of results that were accepted.", meters.accepted_bytes)

    def _fleet(self, standing: Standing) -> Iterator[Metric]:
        pools = sorted({*standing.limits, *(pool for pool, _ in (*standing.workers, *standing.vms))})
        yield _by_pool("ecloud_workers", "Workers, by pool and state.", pools, _WORKERS, standing.workers)
        yield _by_pool("ecloud_vms", "VMs, by pool and state.", pools, _VMS, standing.vms)
        yield _gauges("ecloud_vms_maximum", "VMs that a pool may have.", "pool", tuple(standing.limits), standing.limits)
        yield _gauges("ecloud_cpus_had", "Cpus of the workers that are online.", "pool", pools, standing.had)
        yield _gauges("ecloud_cpus_used", "Cpus of those that are given to attempts.", "pool", pools, standing.used)
        yield _gauge("ecloud_cpus_wanted", "Cpus of all tasks that are dealt out or could be.", standing.wanted)
        yield _gauges(
            "ecloud_pool_paused",
            "Whether a pool is paused after failures in a row, and tried again at growing intervals only.",
            "pool",
            pools,
            dict.fromkeys(standing.paused, 1),
        )
        yield _gauge("ecloud_stray_servers", "Servers with the cluster's tag that no claim knows.", sum(standing.strays.values()))
        boots = HistogramMetricFamily("ecloud_vm_boot_seconds", "From a VM's claim until its worker was heard.", labels=["pool"])
        for pool in pools:
            histogram = self._meters.boots.get(pool) or Histogram(BOOTS)
            boots.add_metric([pool], *_buckets(histogram))
        yield boots
        yield _counters("ecloud_vm_failures", "VMs that never came up, or were lost.", "pool", pools, self._meters.failed_vms)

    def _loop(self) -> Iterator[Metric]:
        meters = self._meters
        depth, listeners = self._waiting()
        yield _gauge("ecloud_inbox_events", "Events that wait for the loop.", depth)
        yield _counter("ecloud_loop_events", "Events that the loop has handled.", meters.events)
        yield _histogram("ecloud_loop_turn_seconds", "Turns of the loop, without the wait for events.", meters.turns)
        yield _histogram("ecloud_commit_seconds", "Commits of the loop's turns.", meters.stores)
        yield _counter(
            "ecloud_loop_recoveries", "How often everything was loaded again, because a commit failed.", meters.recoveries
        )
        yield _counter("ecloud_loop_faults", "Turns in which the core raised.", meters.faults)
        yield _counter("ecloud_messages_dropped", "Messages of workers that were dropped.", meters.dropped)
        yield _gauge("ecloud_api_connections", "Connections of the API's clients.", self._exposition.connections())
        yield _gauge("ecloud_api_listeners", "Readers of events and followed logs, the boss's own log among them.", listeners)
        told = self._exposition.told()
        yield _counters(
            "ecloud_notifications",
            "Messages to people, by what became of them.",
            "outcome",
            ("delivered", "retried", "given up"),
            told,
        )


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=float(value))


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _gauges(name: str, about: str, label: str, values: tuple[str, ...] | list[str], numbers: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for value in values:
        family.add_metric([str(value)], numbers.get(value, 0))
    return family


def _counters(name: str, about: str, label: str, values: tuple[str, ...] | list[str], numbers: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for value in values:
        family.add_metric([value], numbers.get(value, 0))
    return family


def _by_pool(name: str, about: str, pools: list[str], states: tuple[str, ...], numbers: Mapping[tuple[str, str], int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["pool", "state"])
    for pool in pools:
        for state in states:
            family.add_metric([pool, state], numbers.get((pool, state), 0))
    return family


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    buckets, total = _buckets(histogram)
    return HistogramMetricFamily(name, about, buckets=buckets, sum_value=total)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative, as Prometheus wants them."""
    counts, sum_so_far, found = list(histogram.counts), 0, []
    for bound, count in zip((*map(_bound, histogram.bounds), "+Inf"), counts, strict=True):
        sum_so_far += count
        found.append((bound, float(sum_so_far)))
    return found, histogram.total


def _bound(bound: float) -> str:
    return f"{bound:g}" if bound != int(bound) else f"{bound:.1f}"
