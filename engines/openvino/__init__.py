"""OpenVINO on the CPU: compiling, caching and running plans."""
