"""1: jobs, templates, tasks, attempts, workers, VMs and the context."""

from boss.adapters.database import Database

_TABLES = (
    """CREATE TABLE IF NOT EXISTS context (
        name {name} NOT NULL PRIMARY KEY,
        value {text} NOT NULL
    ) {table}""",
    """CREATE TABLE IF NOT EXISTS jobs (
        number {integer} NOT NULL PRIMARY KEY,
        uid {name} NOT NULL UNIQUE,
        name {name} NOT NULL UNIQUE,
        owner {name} NOT NULL,
        created {real} NOT NULL,
        state {name} NOT NULL,
        wanted {name} NOT NULL,
        reason {text} NOT NULL,
        priority {integer} NOT NULL,
        submission {name} NOT NULL,
        files {text} NOT NULL,
        finished {real}
    ) {table}""",
    """CREATE TABLE IF NOT EXISTS templates (
        job {integer} NOT NULL,
        number {integer} NOT NULL,
        data {text} NOT NULL,
        PRIMARY KEY (job, number),
        FOREIGN KEY (job) REFERENCES jobs (number) ON DELETE CASCADE
    ) {table}""",
    """CREATE TABLE IF NOT EXISTS tasks (
        job {integer} NOT NULL,
        task_index {integer} NOT NULL,
        name {name} NOT NULL,
        template {integer} NOT NULL,
        grid_row {integer} NOT NULL,
        dependencies {bytes},
        chain {integer} NOT NULL,
        state {name} NOT NULL,
        number {integer} NOT NULL,
        failures {integer} NOT NULL,
        losses {integer} NOT NULL,
        not_before {real} NOT NULL,
        exit_code {integer},
        phase {text} NOT NULL,
        reason {text} NOT NULL,
        worker {name} NOT NULL,
        started {real},
        finished {real},
        PRIMARY KEY (job, task_index),
        FOREIGN KEY (job) REFERENCES jobs (number) ON DELETE CASCADE
    ) {clustered}""",
    """CREATE TABLE IF NOT EXISTS attempts (
        job {integer} NOT NULL,
        task_index {integer} NOT NULL,
        number {integer} NOT NULL,
        worker {name} NOT NULL,
        assigned {real} NOT NULL,
        init {integer} NOT NULL,
        state {name} NOT NULL,
        phase {text} NOT NULL,
        exit_code {integer},
        signal_number {integer},
        reason {text} NOT NULL,
        started {real},
        finished {real},
        resources_used {text} NOT NULL,
        stdout {text} NOT NULL,
        stderr {text} NOT NULL,
        stdout_size {integer} NOT NULL,
        stderr_size {integer} NOT NULL,
        stored_logs {integer} NOT NULL,
        files {text},
        PRIMARY KEY (job, task_index, number),
        FOREIGN KEY (job) REFERENCES jobs (number) ON DELETE CASCADE
    ) {table}""",
    """CREATE TABLE IF NOT EXISTS workers (
        id {name} NOT NULL PRIMARY KEY,
        pool {name} NOT NULL,
        state {name} NOT NULL,
        draining {integer} NOT NULL,
        keep_until {real} NOT NULL,
        resources {text} NOT NULL,
        address {text} NOT NULL,
        session {text} NOT NULL,
        last_seen {real} NOT NULL,
        idle_since {real} NOT NULL,
        failures_in_a_row {integer} NOT NULL,
        barred {text} NOT NULL,
        prepared {text} NOT NULL
    ) {table}""",
    """CREATE TABLE IF NOT EXISTS vms (
        id {name} NOT NULL PRIMARY KEY,
        pool {name} NOT NULL,
        flavor {name} NOT NULL,
        created {real} NOT NULL,
        state {name} NOT NULL,
        server {text} NOT NULL,
        address {text} NOT NULL,
        deadline {real},
        reason {text} NOT NULL,
        keep_until {real} NOT NULL,
        since {real} NOT NULL
    ) {table}""",
)


def up(db: Database) -> None:
    """Make the tables and the indexes that listings need."""
    for table in _TABLES:
        db.define(table)
    db.define_index("jobs_submission", "jobs", "submission")
    db.define_index("tasks_state", "tasks", "state, job")
    db.define_index("tasks_name", "tasks", "name, job", unique=True)
