"""Fixtures that every test may use: private servers on free ports."""

pytest_plugins = ("tests.servers", "tests.mariadb", "tests.datastore.host")
