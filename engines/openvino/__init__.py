"""OpenVINO on the CPU: compile, cache and run plans."""
