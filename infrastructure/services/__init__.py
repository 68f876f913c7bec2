"""The real services without containers: `python -m infrastructure.services start`, for tests and for a look at them.

Kafka with three brokers, Cassandra, MariaDB, two Redis servers and toxiproxy, all on loopback, each a program of its
own, with all that they write in one folder. Nothing here is for production: no passwords, no TLS, one machine.
"""
