"""Write engine bundles in the form that other model servers load."""
