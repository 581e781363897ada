"""Speed and memory of the client, each figure beside a reference: ``python -m test.benchmarks [names]``.

The figures of memory, descriptors and connections need Linux: they read ``/proc``.
"""
