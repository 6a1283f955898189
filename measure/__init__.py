"""Measurements that build, debug and bench share: accuracy, latency, load, work and peaks."""
