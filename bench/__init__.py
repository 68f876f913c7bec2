"""What is measured: each module is a command, `python -m bench.NAME`; what it finds it writes into docs/reliability.md."""
