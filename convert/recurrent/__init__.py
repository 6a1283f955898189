"""Recurrent layers: loops, their step functions and the cells they implement."""
