"""A whole ecloud of real processes under chaos, and a checker of what it promises: ``scripts/chaos``.

    workload.py     a job of many short tasks of which every file's content is known beforehand
    cluster.py      boss, broker, sshd, workers and database in one folder; who they are, and what is left of them
    mariadb.py      private MariaDB servers; galera.py: a cluster of three of them
    network.py      network namespaces with a relay between them that delays, loses and cuts off
    faults.py       what is done to them, and how long each takes to come back
    checker.py      the promises, looked up in database, datastore and the workers' journals

An entry point above the boss; nothing imports it but tests.
"""
