"""What happens when things go wrong: kills, full disks, odd folders, many ranks, long runs.

`python -m tests.reliability [NAME ...]` runs every script here and prints a table.
"""
