"""The baseline, and the competing runtimes that engines are compared with."""
