"""Kettle & Oak: a small web shop with planted vulnerabilities, listed in ground-truth.yml.

Each of them is marked in the code by a comment ``flaw: <id>``; ``twin: <id>`` marks its repaired neighbour.
"""
