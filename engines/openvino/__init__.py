"""How OpenVINO's plans are compiled, kept and run on the CPU."""
