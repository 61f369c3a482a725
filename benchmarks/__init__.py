"""Benchmarks of asgiserver against its peers: ``python -m benchmarks`` lists the cases.

The package needs only the standard library; the servers run in an environment of their own.
"""
