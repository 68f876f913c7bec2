"""What is measured: each module is a command, `python -m bench.NAME`, and writes what it finds into docs/."""
