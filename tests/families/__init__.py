"""The model families of the zoo (see ``tests/zoo.py``), built in code with random weights."""
