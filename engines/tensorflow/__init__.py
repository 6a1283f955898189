"""The baseline, and other runtimes that engines are compared with."""
